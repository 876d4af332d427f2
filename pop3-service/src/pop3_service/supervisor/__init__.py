"""The control plane: use cases, the live registry, worker processes."""
