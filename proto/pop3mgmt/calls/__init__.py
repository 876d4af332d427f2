"""The calls of a login, one module a service of the contract."""
