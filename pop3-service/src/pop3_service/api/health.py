"""Asking a running service for its health: what a container's health check runs, again and again.

It imports next to nothing of the service.
"""

from __future__ import annotations

import os
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def socket_address(folder_fd: int) -> str:
    """Give gRPC's address of the socket in a folder; a path may be longer than a socket's may."""
    return f"unix:/proc/self/fd/{folder_fd}/health.sock"


def is_healthy_here(folder: Path, timeout_s: float = 3.0) -> bool:
    """Ask by the socket in the data folder, which is there where the port speaks TLS."""
    try:
        fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return is_healthy(socket_address(fd), timeout_s)
    finally:
        os.close(fd)


def is_healthy(address: str, timeout_s: float = 3.0) -> bool:
    """Ask a running service for its health."""
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            response = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.RpcError:
            return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)
