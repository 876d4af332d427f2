"""The data plane: POP3 over the network, Maildirs, the transform. It knows no SQL and no gRPC."""
