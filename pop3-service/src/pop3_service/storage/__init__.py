"""Accounts and settings on disk. SQL lives here only."""
