"""The servicers: messages of the contract to use cases and back, one module a service."""
