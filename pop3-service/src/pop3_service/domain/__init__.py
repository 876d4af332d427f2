"""The service's words and rules: accounts, passwords, sessions, settings, errors."""
