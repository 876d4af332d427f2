"""TLS on the management port: with and without clients' certificates, and by every program."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pop3mgmt.client import ManagementClient
from pop3mgmt.client_tls import ClientTls
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from support import daemon
from support import gateway as gateways
from support.certificates import Authority, authority, pem
from support.daemon import Daemon
from support.events import wait_for

AWAY = "the service cannot be reached"
NAME = "management.test"


@dataclass
class Guarded:
    """A service whose management port speaks TLS, and files of all sorts."""

    daemon: Daemon
    folder: Path
    asks: bool

    @property
    def roots(self) -> Path:
        return self.folder / "roots.pem"

    def own(self, name: str = "client") -> tuple[Path, Path]:
        return self.folder / name / "fullchain.pem", self.folder / name / "privkey.pem"

    def tls(self, roots: Path | None = None, name: str = NAME, own: str = "client") -> ClientTls:
        certificate, key = self.own(own) if self.asks else (None, None)
        return ClientTls(roots or self.roots, certificate, key, name)

    def refusal(self, tls: ClientTls | None) -> str:
        """Why a login fails."""

        async def log_in() -> None:
            async with ManagementClient(self.daemon.grpc_target, tls=tls) as client:
                await client.login("default", "default")

        with pytest.raises(ManagementError) as refused:
            asyncio.run(log_in())
        assert refused.value.reason is Reason.SERVICE_UNAVAILABLE
        return refused.value.text

    def works(self, tls: ClientTls) -> None:
        async def log_in() -> None:
            async with ManagementClient(self.daemon.grpc_target, tls=tls) as client:
                caller = await client.login("default", "default")
                assert [it.name for it in await caller.list_accounts()] == ["default"]

        asyncio.run(log_in())

    def pop3ctl(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        own = {
            "POP3CTL_TARGET": self.daemon.grpc_target,
            "POP3CTL_USER": "default",
            "POP3CTL_PASSWORD": "default",
            "POP3CTL_TOKEN_FILE": str(self.folder / "token"),
        }
        return subprocess.run(
            [Path(sys.executable).with_name("pop3ctl"), *arguments],
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="module", params=[False, True], ids=["tls", "mtls"])
def guarded(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    chain, key = authority().issue(NAME).write(folder / "server")
    authority().issue("client.test").write(folder / "client")
    stranger = Authority()
    stranger.issue("client.test").write(folder / "stranger")
    (folder / "roots.pem").write_bytes(pem(authority().root.certificate))
    (folder / "strange.pem").write_bytes(pem(stranger.root.certificate))
    environment = {"POP3_GRPC_TLS_CERT": str(chain), "POP3_GRPC_TLS_KEY": str(key)}
    if request.param:
        environment["POP3_GRPC_CLIENT_CA"] = str(folder / "roots.pem")
    with daemon.running(folder, environment=environment) as running:
        yield Guarded(running, folder, request.param)


def test_who_trusts_the_service_and_is_trusted_is_served(guarded: Guarded) -> None:
    guarded.works(guarded.tls())


def test_nothing_is_said_in_clear_text(guarded: Guarded) -> None:
    assert guarded.refusal(None) == AWAY


def test_a_client_that_trusts_others_stays_away_and_says_why(guarded: Guarded) -> None:
    strange = guarded.folder / "strange.pem"
    assert "not from an authority that is trusted" in guarded.refusal(guarded.tls(strange))
    assert "its certificate has another name" in guarded.refusal(guarded.tls(name="other.test"))
    assert "its certificate has another name" in guarded.refusal(guarded.tls(name=""))


def test_a_client_without_a_certificate_or_with_a_strangers_is_refused(guarded: Guarded) -> None:
    if not guarded.asks:
        guarded.works(ClientTls(guarded.roots, name=NAME))
        return
    assert guarded.refusal(ClientTls(guarded.roots, name=NAME)) == AWAY
    assert guarded.refusal(guarded.tls(own="stranger")) == AWAY


def test_a_service_without_tls_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    (tmp_path / "roots.pem").write_bytes(pem(authority().root.certificate))
    with daemon.running(tmp_path) as plain:
        told = Guarded(plain, tmp_path, False)
        assert told.refusal(told.tls()) == f"{AWAY}: it does not speak TLS"


def test_pop3ctl_speaks_tls(guarded: Guarded) -> None:
    certificate, key = guarded.own()
    own = ("--tls-cert", str(certificate), "--tls-key", str(key)) if guarded.asks else ()
    trust = ("--tls-ca", str(guarded.roots), "--tls-name", NAME)
    done = guarded.pop3ctl(*trust, *own, "status")
    assert done.returncode == 0, done.stderr
    [until] = [it for it in done.stdout.splitlines() if it.startswith("gRPC TLS until ")]
    assert re.search(r" 20[0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9:]{8}$", until)
    by_environment = {"POP3CTL_TLS_CA": str(guarded.roots), "POP3CTL_TLS_NAME": NAME}
    if guarded.asks:
        by_environment |= {"POP3CTL_TLS_CERT": str(certificate), "POP3CTL_TLS_KEY": str(key)}
    assert guarded.pop3ctl("accounts", "list", **by_environment).returncode == 0
    failed = guarded.pop3ctl("status")
    assert failed.returncode == 10
    assert "--tls-ca to speak TLS" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_pop3ctl_says_which_file_it_cannot_use(guarded: Guarded) -> None:
    certificate, _ = guarded.own()
    _, other = guarded.own("stranger")
    mixed = ("--tls-ca", str(guarded.roots), "--tls-cert", str(certificate))
    for arguments, told in (
        (("--tls-ca", "/no/such"), "/no/such: No such file or directory"),
        (("--tls-ca", str(other)), f"{other}: there is no certificate in PEM"),
        (
            (*mixed, "--tls-key", str(other)),
            f"{certificate}: the key does not belong to the certificate",
        ),
    ):
        failed = guarded.pop3ctl(*arguments, "status")
        assert failed.stderr.startswith(f"pop3ctl: {told}"), failed.stderr
        assert 0 < failed.returncode < 70
    assert guarded.pop3ctl("--tls-name", NAME, "status").returncode == 2


def test_the_gateway_speaks_tls_with_the_service(guarded: Guarded) -> None:
    certificate, key = guarded.own()
    trust = {"SCMP_SERVICE_TLS_CA": str(guarded.roots), "SCMP_SERVICE_TLS_NAME": NAME}
    if guarded.asks:
        trust |= {"SCMP_SERVICE_TLS_CERT": str(certificate), "SCMP_SERVICE_TLS_KEY": str(key)}
    target, secret = guarded.daemon.grpc_target, guarded.daemon.gateway_secret
    with gateways.running(target, secret=secret, **trust) as gateway, gateway.log_in() as client:
        assert client.listing("USERS") == ["default admin sessions=0"]
        host, port = client.socket.getsockname()
    wait_for(lambda: any(f"peer={host}:{port}" in it for it in list(guarded.daemon.log)))
    with gateways.running(target, SCMP_SERVICE_TLS_CA=str(guarded.folder / "strange.pem")) as other:
        with other.connect() as client:
            reply = client.log_in("default", "default")
            assert reply.startswith(f"-ERR [UNAVAILABLE] {AWAY}: its certificate is not from")


def test_health_is_asked_without_a_certificate_and_is_all_that_is_served(guarded: Guarded) -> None:
    data = guarded.daemon.gateway_secret.parent

    def status(**environment: str) -> int:
        own = {
            "POP3_GRPC_LISTEN": guarded.daemon.grpc_target,
            "POP3_DATA_DIR": str(data),
            "POP3_GRPC_TLS_CERT": "/any",
        }
        return subprocess.run(
            [sys.executable, "-m", "pop3_service", "--health"],
            env={**os.environ, **own, **environment},
            timeout=120,
        ).returncode

    assert status() == 0
    assert status(POP3_GRPC_TLS_CERT="") == 1  # the port speaks TLS
    assert status(POP3_DATA_DIR=str(guarded.folder)) == 1
    assert (data / "health.sock").stat().st_mode & 0o022 == 0  # nobody else may connect

    async def log_in() -> None:
        folder = os.open(data, os.O_PATH)
        try:
            async with ManagementClient(f"unix:/proc/self/fd/{folder}/health.sock") as client:
                await client.login("default", "default")
        finally:
            os.close(folder)

    with pytest.raises(ManagementError, match=r"(?i)not found"):
        asyncio.run(log_in())


def test_a_new_certificate_is_taken_and_a_bad_one_is_not(guarded: Guarded) -> None:
    log, folder = guarded.daemon.log, guarded.folder / "server"

    def reloaded(text: str) -> None:
        before = sum(text in line for line in list(log))
        guarded.daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: sum(text in line for line in list(log)) > before)

    authority().issue("renewed.test").write(folder)
    reloaded('event="certificate read" of=grpc by=SIGHUP')
    guarded.works(guarded.tls(name="renewed.test"))
    (folder / "privkey.pem").write_bytes(authority().issue("other.test").key)
    reloaded("the key does not belong to the certificate")
    guarded.works(guarded.tls(name="renewed.test"))
    authority().issue(NAME).write(folder)
    reloaded('event="certificate read" of=grpc by=SIGHUP')
    guarded.works(guarded.tls())
    assert "PRIVATE" not in "".join(log)


def test_a_start_with_what_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    chain, _ = authority().issue(NAME).write(tmp_path)
    _, other = authority().issue(NAME).write(tmp_path / "other")
    for environment, told in (
        ({"POP3_GRPC_CLIENT_CA": str(chain)}, "need --grpc-tls-cert"),
        (
            {"POP3_GRPC_TLS_CERT": str(chain), "POP3_GRPC_TLS_KEY": str(other)},
            f"{chain}: the key does not belong to the certificate",
        ),
        (
            {"POP3_GRPC_TLS_CERT": str(chain), "POP3_GRPC_TLS_KEY": str(tmp_path / "privkey.pem"),
             "POP3_GRPC_CLIENT_CA": str(other)},
            "it cannot be used",
        ),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match="did not start") as failed:
            with daemon.running(tmp_path, environment=environment):
                pass
        [line] = [it for it in str(failed.value).splitlines() if it.startswith("pop3d: ")]
        assert told in line
