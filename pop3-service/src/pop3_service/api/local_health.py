"""A socket in the data folder that answers questions for the health, where the port speaks TLS.

The health check then needs no certificate, and none that clients have to show.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2_grpc

from pop3_service.api.health import socket_address
from pop3_service.domain.errors import ServiceUnavailable


class LocalHealth:
    """The socket while it is served. It serves nothing but health."""

    def __init__(self, server: grpc.aio.Server, folder_fd: int) -> None:
        self._server = server
        self._folder_fd = folder_fd

    @classmethod
    async def start(cls, servicer: Any, folder: Path) -> Self:
        """Serve it.

        Raises:
            ServiceUnavailable: the socket cannot be made.
        """
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        try:
            server.add_insecure_port(socket_address(fd))
        except RuntimeError as error:
            os.close(fd)
            raise ServiceUnavailable(f"no socket for health can be made in {folder}") from error
        await server.start()
        return cls(server, fd)

    async def stop(self) -> None:
        """Serve it no more."""
        await self._server.stop(None)
        os.close(self._folder_fd)
