"""The gRPC edge: servicers translate between the contract and the use cases, nothing else."""
