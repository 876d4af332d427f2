"""The real ``scmp-gateway`` as a process of its own, on a free port."""

import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.pop3 import Pop3
from support.tls import client_context


@dataclass
class Gateway:
    """A running ``scmp-gateway``."""

    process: subprocess.Popen[str]
    port: int
    log: list[str]
    reader: threading.Thread
    port_tls: int = 0
    port_proxy: int = 0

    def connect(self, timeout: float = 30, source: str | None = None) -> Pop3:
        """A plain connection; POP3 and SCMP are framed alike. ``source`` is its own address."""
        return Pop3(self.port, timeout=timeout, source=source)

    def connect_tls(self, context: ssl.SSLContext | None = None) -> Pop3:
        """A connection that is in TLS from the first octet."""
        return Pop3(self.port_tls, tls=context or client_context())

    def log_in(self, name: str = "default", password: str = "default") -> Pop3:
        """A connection that is logged in."""
        client = self.connect()
        reply = client.log_in(name, password)
        assert reply.startswith(f"+OK logged in as {name} "), reply
        return client

    def terminate(self) -> None:
        """Ask it to end, and do not wait."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """End it in order; give its exit status. After that the log is whole."""
        self.terminate()
        try:
            status = self.process.wait(90)
            self.reader.join(90)
            return status
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError("scmp-gateway did not stop:\n" + "".join(self.log[-50:])) from None


@contextmanager
def running(
    service: str, *arguments: str, secret: Path | None = None, **environment: str
) -> Iterator[Gateway]:
    """Run ``scmp-gateway`` in front of a service's gRPC address until the end of the block."""
    process = subprocess.Popen(
        [Path(sys.executable).with_name("scmp-gateway"), *arguments],
        env={
            **os.environ,
            "SCMP_PORT": "0",
            "SCMP_PORT_TLS": "0",
            "SCMP_HOST_NAME": "scmp.test",
            "SCMP_DEADLINE": "60",
            "POP3_MGMT_TARGET": service,
            "SCMP_GATEWAY_SECRET_FILE": str(secret or ""),
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    for line in process.stdout:
        log.append(line)
        if 'event="gateway started"' in line:
            break
    else:
        process.wait()
        raise RuntimeError("scmp-gateway did not start:\n" + "".join(log))
    facts = dict(word.split("=", 1) for word in log[-1].split() if "=" in word)
    # Somebody must read the log, or the gateway would wait for its pipe.
    reader = threading.Thread(target=lambda: log.extend(process.stdout or ()), daemon=True)
    reader.start()
    ports = [int(facts.get(name, 0)) for name in ("port", "port_tls", "port_proxy")]
    gateway = Gateway(process, ports[0], log, reader, *ports[1:])
    try:
        yield gateway
    finally:
        if process.poll() is None:
            gateway.stop()
        reader.join(30)
