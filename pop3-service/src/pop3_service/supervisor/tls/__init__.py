"""Certificates: found, read, checked, swapped."""
