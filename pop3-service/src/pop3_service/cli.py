"""``pop3d``: the command line."""

from __future__ import annotations

import asyncio
import os
import sys

from pop3_service import config as options
from pop3_service.config import Config
from pop3_service.domain.errors import ServiceError

EX_USAGE = 2
EX_UNAVAILABLE = 1


def main() -> None:
    """Run the service, or ask a running one for its health."""
    parser = options.parser()
    given = parser.parse_args()
    try:
        config = options.read_config(given)
    except options.BadOption as error:
        parser.error(str(error))
    if given.health:
        sys.exit(0 if _is_healthy(config) else EX_UNAVAILABLE)
    if given.restore:
        sys.exit(_restore(given.restore, config))
    import structlog

    from lineproto import logs
    from pop3_service.supervisor.process import serve

    # Of each handshake that fails it would write lines of its own.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    flush = logs.configure(config.log_level, config.log_format)
    for name, like in options.misspelt().items():
        structlog.get_logger().warning("unknown variable", name=name, like=like)
    try:
        asyncio.run(serve(config))
    except ServiceError as error:
        flush()  # why it ends is the last that is told
        print(f"pop3d: {error}", file=sys.stderr)
        sys.exit(EX_UNAVAILABLE)


def _is_healthy(config: options.Config) -> bool:
    from pop3_service.api.health import is_healthy, is_healthy_here

    if config.grpc_tls_cert is not None:
        return is_healthy_here(config.data_dir)
    return is_healthy(_reachable(config.grpc_listen))


def _restore(file: str, config: Config) -> int:
    """Put a backup in force while no service runs; ``-`` is stdin."""
    from pop3_service.supervisor.backups import restore_cold
    from pop3_service.supervisor.process import keys

    try:
        with open(0 if file == "-" else file, "rb") as source:
            done = restore_cold(config.data_dir, keys(config), source)
    except (OSError, ServiceError) as error:
        print(f"pop3d: {error}", file=sys.stderr)
        return EX_UNAVAILABLE
    for warning in done.warnings:
        print(f"pop3d: warning: {warning}", file=sys.stderr)
    made = f"{done.manifest.create_time:%Y-%m-%d %H:%M:%S} UTC"
    print(f"restored {done.account_count} accounts of {made} in {config.data_dir}")
    return 0


def _reachable(address: str) -> str:
    """Give an address to connect to for one to listen on."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]") else address  # noqa: S104
