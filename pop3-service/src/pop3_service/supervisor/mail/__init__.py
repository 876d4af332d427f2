"""Maildirs, as their accounts' owners and administrators see them."""
