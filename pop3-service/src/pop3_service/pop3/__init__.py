"""The POP3 protocol, without I/O: commands, the session machine, capabilities."""
