"""Ports that are known before they are bound, or again after it."""

import random
import socket
from pathlib import Path

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""What the kernel gives to who binds port 0, and to the clients' ends of connections."""
LOWEST, HIGHEST = 10_000, 65_535
TRIES = 100


def kept_port() -> int:
    """A port that nobody has, and that nobody gets who does not ask for it by its number."""
    first, last = (int(word) for word in RANGE.read_text().split())
    chance = random.SystemRandom()  # hypothesis seeds the common one, for each process alike
    for _ in range(TRIES):
        port = chance.randint(LOWEST, HIGHEST)
        if first <= port <= last:
            continue
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            pass
    raise RuntimeError(f"none of the ports outside {first} to {last} is free")
