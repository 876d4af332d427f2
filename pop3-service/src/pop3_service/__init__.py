"""Valija POP3 service: mail over POP3, steered over gRPC."""
