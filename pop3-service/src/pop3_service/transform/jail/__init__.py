"""The launcher: a process of its own that runs programs in a sandbox, and nothing of the service.

It is started by exec as ``python -I -S <__main__.py>``, uses the standard library only and has one
thread, so it may fork and arrange what it forks before the program starts. Its modules import each
other by relative names: in that process this package is called ``jail``.
"""
