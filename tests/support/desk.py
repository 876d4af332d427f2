"""A container with mail clients, and what they leave when they were run."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import uuid
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from docker.models.containers import Container

from support.mail_clients import TLS, MailClient, Way

IMAGE = "valija-test-clients"
FOLDER = Path(__file__).parents[1] / "system/clients"
HOME = PurePosixPath("/home/reader")
BUILD_S = 800
SCANS = (
    *("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3", "--certinfo"),
    *("--compression", "--reneg", "--heartbleed", "--openssl_ccs", "--robot", "--early_data"),
    *("--fallback", f"--certinfo_ca_file={HOME}/authority.pem"),
)


def build_image(base: str | None) -> None:
    """Build the clients' image; what did not change comes from the cache."""
    own = ["--build-arg", f"BASE_IMAGE={base}"] if base else []
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", IMAGE, *own, FOLDER], check=True, timeout=BUILD_S
    )


@dataclass(frozen=True)
class Told:
    """How a client ended, what it printed, and the messages that it left."""

    status: int
    output: str
    errors: str
    messages: list[bytes]

    def listing(self) -> dict[str, Any]:
        """Lines of ``messages N``, ``octets N`` and ``size NUMBER OCTETS``."""
        found: dict[str, Any] = {}
        for line in self.output.splitlines():
            what, *numbers = line.split()
            if what == "size":
                found.setdefault("size", {})[int(numbers[0])] = int(numbers[1])
            else:
                found[what] = int(numbers[0])
        return found


@dataclass(frozen=True)
class Desk:
    """A container in which clients are run, each time in a folder of its own."""

    container: Container
    host: str
    count: int
    limit_s: int = 60

    def run(self, client: MailClient, what: str, way: Way, account: str) -> Told:
        """Let a client ``list``, ``fetch`` or ``delete``, or tell its ``version``."""
        folder = HOME / uuid.uuid4().hex
        environment = {
            "HOST": self.host,
            "PORT": str(way.port),
            "WAY": way.name,
            "ACCOUNT": account,
            "PASSWORD": "secret",
            "COUNT": str(self.count),
            "HOME": str(folder),
        }
        begin = f"mkdir -p {folder}/mail && cd {folder}"
        told = self.container.exec_run(
            ["sh", "-c", f"{begin} && exec timeout -k 5 {self.limit_s} {client.script} {what}"],
            environment=environment,
            demux=True,
        )
        output, errors = (part or b"" for part in told.output)
        messages = self._files(folder / "mail") if what == "fetch" else []
        return Told(told.exit_code, output.decode(), errors.decode(errors="replace"), messages)

    def openssl(self, way: Way, *options: str) -> str:
        """What ``openssl s_client`` tells of a connection that says QUIT."""
        starttls = [] if way.port == TLS.port else ["-starttls", "pop3"]
        # Without -ign_eof a line with Q at its start would be for s_client itself.
        own = ["-connect", f"{self.host}:{way.port}", "-crlf", "-ign_eof", *starttls]
        quit_ = 'echo QUIT | exec timeout 20 openssl s_client "$@"'
        told = self.container.exec_run(["sh", "-c", quit_, "sh", *own, *options])
        return str(told.output.decode(errors="replace"))

    def sslyze(self, way: Way) -> dict[str, Any]:
        """What sslyze finds, by check."""
        starttls = [] if way.port == TLS.port else ["--starttls", "pop3"]
        words = ["sslyze", "--json_out=-", *starttls, *SCANS]
        told = self.container.exec_run([*words, f"{self.host}:{way.port}"], stderr=False)
        [found] = json.loads(told.output)["server_scan_results"]
        checks = found["scan_result"].items()
        return {name: it["result"] for name, it in checks if it["status"] == "COMPLETED"}

    def _files(self, folder: PurePosixPath) -> list[bytes]:
        stream, _ = self.container.get_archive(str(folder))
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            files = [archive.extractfile(it) for it in archive.getmembers() if it.isfile()]
            return [file.read() for file in files if file]


def as_archive(name: str, octets: bytes) -> bytes:
    """One file as ``put_archive`` takes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(octets), 0o644
        archive.addfile(entry, io.BytesIO(octets))
    return file.getvalue()
