"""HAProxy itself, where it is installed: what it sends is what our own headers must be like."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INSTALLED = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

CONFIGURATION = """
defaults
  mode tcp
  timeout connect 60s
  timeout client 60s
  timeout server 60s
listen pop3
  bind fd@{fd} {bind}
  server valija 127.0.0.1:{port} source {source} {server} fall 1000000
"""


@contextmanager
def running(folder: Path, port: int, *, source: str, server: str, bind: str = "") -> Iterator[int]:
    """Run it in front of a port of ours; gives its own port.

    ``server`` says what it sends, ``source`` where it connects from, ``bind`` how it listens.
    """
    assert INSTALLED is not None
    with socket.create_server(("127.0.0.1", 0)) as sock:
        path = folder / "haproxy.cfg"
        path.write_text(
            CONFIGURATION.format(
                fd=sock.fileno(), bind=bind, port=port, source=source, server=server
            )
        )
        process = subprocess.Popen(
            [INSTALLED, "-db", "-f", str(path)], pass_fds=[sock.fileno()], stdin=subprocess.DEVNULL
        )
        try:
            yield sock.getsockname()[1]
        finally:
            process.terminate()
            process.wait(20)
