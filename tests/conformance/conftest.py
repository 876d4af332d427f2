"""The programs that transcripts are played to: the service in both shapes, and a gateway."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from component.conftest import Service
from conformance.transcript import Programs
from support import daemon, gateway
from support.certificates import authority


@contextmanager
def running(folder: Path, workers: int, *options: str, **more: str) -> Iterator[Programs]:
    """A service and a gateway; the options are the gateway's."""
    settings = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0", **more}
    with (
        daemon.running(folder, workers=workers, environment=settings) as service,
        gateway.running(service.grpc_target, *options) as front,
    ):
        yield Programs(Service(service), front)


@pytest.fixture(scope="session", params=[0, 2], ids=["workers=0", "workers=2"])
def running_programs(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Programs]:
    """One service and one gateway for all transcripts but those of TLS."""
    with running(tmp_path_factory.mktemp("service"), request.param) as programs:
        yield programs


@pytest.fixture(scope="session", params=[0, 2], ids=["workers=0", "workers=2"])
def running_tls_programs(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Programs]:
    """The same with a certificate."""
    folder = tmp_path_factory.mktemp("service")
    chain, key = authority().issue("pop.test").write(folder / "tls")
    given = {"POP3_TLS_CERT": str(chain), "POP3_TLS_KEY": str(key)}
    options = ("--tls-cert", str(chain), "--tls-key", str(key))
    with running(folder, request.param, *options, **given) as programs:
        yield programs


@pytest.fixture
def programs(running_programs: Programs) -> Iterator[Programs]:
    """The same, without accounts but the first admin, and with settings as they were."""
    yield running_programs
    running_programs.as_new()


@pytest.fixture
def tls_programs(running_tls_programs: Programs) -> Iterator[Programs]:
    """The same of those with a certificate."""
    yield running_tls_programs
    running_tls_programs.as_new()
