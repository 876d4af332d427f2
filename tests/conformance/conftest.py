"""The programs that transcripts are played to: the service in both shapes, and a gateway."""

from collections.abc import Iterator

import pytest

from component.conftest import Service
from conformance.transcript import Programs
from support import daemon, gateway


@pytest.fixture(scope="session", params=[0, 2], ids=["workers=0", "workers=2"])
def running_programs(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Programs]:
    """One service and one gateway for all transcripts."""
    settings = {"POP3_MIN_LOGIN_DELAY": "0", "POP3_MAX_LOGIN_DELAY": "0"}
    folder = tmp_path_factory.mktemp("service")
    with (
        daemon.running(folder, workers=request.param, environment=settings) as service,
        gateway.running(service.grpc_target) as front,
    ):
        yield Programs(Service(service), front)


@pytest.fixture
def programs(running_programs: Programs) -> Iterator[Programs]:
    """The same, without accounts but the first admin, and with settings as they were."""
    yield running_programs
    running_programs.as_new()
