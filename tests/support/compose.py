"""The compose project, with names, ports, mail and accounts of its own."""

import os
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from support.daemon import pss_kb
from support.events import wait_for
from support.pop3 import Pop3
from support.ports import kept_port

ROOT = Path(__file__).parents[2]
FILES = (ROOT / "docker-compose.yml",)
UP_S = 600


@dataclass
class Project:
    """One running instance of ``docker-compose.yml``."""

    mail: Path
    client: docker.DockerClient
    name: str = field(default_factory=lambda: f"valija-test-{uuid.uuid4().hex[:8]}")
    pop3: int = field(default_factory=kept_port)
    pop3_ipv6: int = field(default_factory=kept_port)
    pop3_tls: int = field(default_factory=kept_port)
    scmp: int = field(default_factory=kept_port)
    scmp_tls: int = field(default_factory=kept_port)
    files: tuple[Path, ...] = FILES
    settings: Mapping[str, str] = field(default_factory=dict)

    def compose(
        self, *arguments: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``docker compose`` on this project."""
        own = {
            "VALIJA_MAIL_VOLUME": str(self.mail),
            "POP3_PORT": str(self.pop3),
            "POP3_PORT_IPV6": str(self.pop3_ipv6),
            "POP3_PORT_TLS": str(self.pop3_tls),
            "SCMP_PORT": str(self.scmp),
            "SCMP_PORT_TLS": str(self.scmp_tls),
            "POP3_PASSWORD_MEMORY_KIB": "8",
            "POP3_PASSWORD_PASSES": "1",
        }
        files = [word for file in self.files for word in ("-f", str(file))]
        told = subprocess.run(
            ["docker", "compose", "-p", self.name, *files, *arguments],
            env={**os.environ, **own, **self.settings, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=UP_S,
            check=False,
        )
        if check and told.returncode:
            logs = "" if arguments[0] == "logs" else self.logs()
            raise AssertionError(f"{told.args}\n{told.stdout}\n{told.stderr}\n{logs}")
        return told

    def up(self, **variables: str) -> None:
        """Start it and wait until all is healthy.

        Docker asks each ten seconds; here it is asked in the same words until it is so.
        """
        self.compose("up", "--detach", **variables)
        for container in self.containers().values():
            if check := container.attrs["Config"].get("Healthcheck"):
                wait_for(lambda it=container, words=check["Test"][1:]: _succeeds(it, words), 120)

    def logs(self, *services: str) -> str:
        """What the containers have written."""
        return self.compose("logs", "--no-color", "--no-log-prefix", *services).stdout

    def containers(self) -> dict[str, Container]:
        """The containers there are, by service."""
        label = f"com.docker.compose.project={self.name}"
        found = self.client.containers.list(all=True, filters={"label": label})
        return {it.labels["com.docker.compose.service"]: it for it in found}

    def service(self) -> Container:
        """The container of the POP3 service."""
        return self.containers()["pop3-service"]

    def address(self) -> str:
        """The POP3 service's own address on the project's bridge."""
        return str(self._endpoint()["IPAddress"])

    def gateway(self) -> str:
        """This machine's own address on the project's bridge."""
        # Not from the engine's default bridge: an engine that never ran before does not tell it.
        return str(self._endpoint()["Gateway"])

    def _endpoint(self) -> dict[str, Any]:
        networks = self.service().attrs["NetworkSettings"]["Networks"]
        endpoint: dict[str, Any] = networks[f"{self.name}_default"]
        return endpoint

    def processes(self) -> dict[int, str]:
        """Processes of the POP3 service by their ids on this machine, with what they are."""
        try:
            listed = self.service().top(ps_args="-eo pid,args")["Processes"] or []
        except docker.errors.APIError:  # between two lives there is none
            return {}
        found = {}
        for *_, pid, command in listed:
            if "pop3_service.worker" in command:
                found[int(pid)] = "worker"
            elif "pop3d" in command and "init" not in command and "--health" not in command:
                found[int(pid)] = "supervisor"
        return found

    def pss_kb(self) -> dict[int, int]:
        """Proportional set size by process, in KiB, without the pages of files."""
        return pss_kb(self.processes())

    def connect(self, timeout: float = 30) -> Pop3:
        """POP3 through the published port."""
        return Pop3(self.pop3, timeout=timeout)

    def admin(self, name: str = "default", password: str = "default") -> Pop3:
        """SCMP through the published port, logged in. It is framed like POP3."""
        client = Pop3(self.scmp)
        reply = client.log_in(name, password)
        assert reply.startswith(f"+OK logged in as {name}"), reply
        return client

    def deliver(self, account: str, messages: list[bytes]) -> None:
        """Put mail into a Maildir of the mounted folder, as a delivery agent would."""
        for number, message in enumerate(messages, 1):
            path = self.mail / account / f"new/{1000 + number}.M{number}P1.host"
            path.write_bytes(message)
            path.chmod(0o644)


def _succeeds(container: Container, words: list[str]) -> bool:
    try:
        return bool(container.exec_run(words).exit_code == 0)
    except docker.errors.APIError:  # it does not run yet
        return False


@contextmanager
def project(
    mail: Path, client: docker.DockerClient, files: tuple[Path, ...] = FILES, **settings: str
) -> Iterator[Project]:
    """A project that is gone at the end, with its accounts."""
    made = Project(mail, client, files=files, settings=settings)
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "5", check=False)
