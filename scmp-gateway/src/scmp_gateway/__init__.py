"""Valija SCMP gateway: speaks SCMP over telnet and translates it to gRPC."""

__version__ = "0.1.0"
