"""Maildirs: where they are, their lock, their messages, and how these are read and deleted."""
