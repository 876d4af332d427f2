"""The compose project for all system tests. Without a Docker engine they are skipped, and say so;
with REQUIRE_DOCKER=1 that is a failure."""

import os
from collections.abc import Iterator

import docker
import pytest

from support.compose import Project, project
from support.tables import Table

CLIENTS = pytest.StashKey[Table]()


def pytest_configure(config: pytest.Config) -> None:
    columns = ("client", "version", "login", "list", "octets", "delete", "what it does to mail")
    config.stash[CLIENTS] = Table(columns)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    table = terminalreporter.config.stash[CLIENTS]
    if table.rows:
        terminalreporter.section("mail clients")
        terminalreporter.write("\n".join(table.lines()) + "\n")


@pytest.fixture(scope="session")
def clients_table(pytestconfig: pytest.Config) -> Table:
    """What real clients could do, printed when all tests are done."""
    return pytestconfig.stash[CLIENTS]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/system/" in item.path.as_posix():
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail(f"REQUIRE_DOCKER=1 and no Docker engine answers: {error}")
        pytest.skip("no Docker engine answers")
    yield client
    client.close()


@pytest.fixture(scope="session")
def running(
    engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """Built from nothing, up and healthy."""
    mail = tmp_path_factory.mktemp("mail")
    with project(mail, engine) as made:
        made.compose("up", "--build", "--wait")
        yield made
