"""Valija SCMP gateway: speaks SCMP over telnet and translates it to gRPC."""
