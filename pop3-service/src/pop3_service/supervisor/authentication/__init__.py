"""How a login or a message of AUTH becomes an outcome."""
