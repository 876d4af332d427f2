"""The real ``pop3d`` as a process of its own, on free ports."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ADDRESSES = Path("/proc/net/if_inet6")
_HAS_IPV6 = _ADDRESSES.exists() and _ADDRESSES.read_text() != ""
IPV6_BIND = "::1" if _HAS_IPV6 else "::"
IPV6_HOST = "::1" if _HAS_IPV6 else "127.0.0.1"
"""Where to reach the IPv6 port: where no interface has an address, dual-stack takes IPv4."""
OWN_MEMORY = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")


@dataclass
class Daemon:
    """A running ``pop3d``."""

    process: subprocess.Popen[str]
    pop3: int
    pop3_ipv6: int
    pop3_tls: int
    grpc: int
    mail: Path
    log: list[str]
    reader: threading.Thread

    @property
    def gateway_secret(self) -> Path:
        return self.mail.with_name("data") / "gateway.secret"

    @property
    def grpc_target(self) -> str:
        return f"127.0.0.1:{self.grpc}"

    def pids(self) -> dict[int, str]:
        """The process and its children, with what they are."""
        found = {self.process.pid: "supervisor"}
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found.update({int(pid): "worker" for pid in children.read_text().split()})
        return found

    def pss_kb(self) -> dict[int, int]:
        """Proportional set size by process, in KiB, without the pages of files."""
        return pss_kb(self.pids())

    def stop(self) -> int:
        """End it in order; give its exit status. After that the log is whole."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(90)
            self.reader.join(90)
            return status
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise RuntimeError("pop3d did not stop:\n" + "".join(self.log[-50:])) from None


def pss_kb(pids: Iterable[int]) -> dict[int, int]:
    """Proportional set size by process, in KiB, without the pages of files.

    Whoever else runs the same programs has a share in those: with each that ends meanwhile, the
    others' shares grow.
    """
    sizes = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            words = [line.split() for line in lines]
            sizes[pid] = sum(int(it[1]) for it in words if it[0] in OWN_MEMORY)
    return sizes


@contextmanager
def running(
    folder: Path,
    *arguments: str,
    workers: int = 0,
    environment: Mapping[str, str] | None = None,
    measured: bool = False,
) -> Iterator[Daemon]:
    """Run ``pop3d`` with its data in a folder until the end of the block.

    ``measured`` is for figures of memory and time: the process runs without coverage.
    """
    mail = folder / "mail"
    mail.mkdir(exist_ok=True, parents=True)
    own = {
        "POP3_PORT": "0",
        "POP3_PORT_IPV6": "0",
        "POP3_PORT_TLS": "0",
        "POP3_BIND_IPV4": "127.0.0.1",
        "POP3_BIND_IPV6": IPV6_BIND,
        "POP3_MAIL_DIR": str(mail),
        "POP3_DATA_DIR": str(folder / "data"),
        "POP3_GRPC_LISTEN": "127.0.0.1:0",
        "POP3_HOST_NAME": "pop.test",
        "POP3_WORKERS": str(workers),
        "POP3_PASSWORD_MEMORY_KIB": "8",
        "POP3_PASSWORD_PASSES": "1",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "pop3_service", *arguments],
        env={**_environment(measured), **own, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    for line in process.stdout:
        log.append(line)
        if 'event="service started"' in line:
            break
    else:
        process.wait()
        raise RuntimeError("pop3d did not start:\n" + "".join(log))
    facts = dict(word.split("=", 1) for word in log[-1].split() if "=" in word)
    # Somebody must read the log, or the service would wait for its pipe.
    reader = threading.Thread(target=lambda: log.extend(process.stdout or ()), daemon=True)
    reader.start()
    daemon = Daemon(
        process,
        int(facts["pop3"]),
        int(facts["pop3_ipv6"]),
        int(facts["pop3_tls"]),
        int(facts["grpc"]),
        mail,
        log,
        reader,
    )
    try:
        yield daemon
    finally:
        if process.poll() is None:
            daemon.stop()
        reader.join(30)


def _environment(measured: bool) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not (measured and name.startswith("COVERAGE_"))
    }
