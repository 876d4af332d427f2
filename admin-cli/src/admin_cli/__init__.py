"""pop3ctl: scripted administration of Valija over gRPC."""

__version__ = "0.1.0"
