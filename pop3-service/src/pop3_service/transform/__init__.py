"""Transforms: a program that RETR passes mail through. An argv, never a shell."""
