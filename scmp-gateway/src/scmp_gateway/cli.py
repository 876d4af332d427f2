"""``scmp-gateway``: the command line."""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from scmp_gateway import config as options


def main() -> None:
    """Run the gateway, or greet a running one."""
    parser = options.parser()
    given = parser.parse_args()
    try:
        config = options.read_config(given)
    except options.BadOption as error:
        parser.error(str(error))
    if given.check:
        sys.exit(0 if is_greeting(config.bind, config.port) else 1)
    import structlog

    from lineproto import logs
    from lineproto.tls import BadCertificate

    # Of each connection that fails it would write lines of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from pop3mgmt.errors import ManagementError
    from scmp_gateway.process import serve

    logs.configure("info", config.log_format)
    for name, like in options.misspelt().items():
        structlog.get_logger().warning("unknown variable", name=name, like=like)
    try:
        asyncio.run(serve(config))
    except BadCertificate as error:
        print(f"scmp-gateway: the certificate cannot be used: {error}", file=sys.stderr)
        sys.exit(1)
    except ManagementError as error:
        print(f"scmp-gateway: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"scmp-gateway: cannot listen: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def is_greeting(bind: str, port: int, timeout_s: float = 3.0) -> bool:
    """Connect to a gateway and read its greeting."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104
    try:
        with socket.create_connection((host, port), timeout_s) as connection:
            greeting = connection.recv(512)
            connection.sendall(b"QUIT\r\n")
            return greeting.startswith(b"+OK SCMP ")
    except OSError:
        return False
