"""Logs; later metrics and tracing."""
