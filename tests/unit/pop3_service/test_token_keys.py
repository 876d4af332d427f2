from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.supervisor.authentication import token_key_source, token_keys
from pop3_service.supervisor.authentication.token_key_source import TokenKeySource
from pop3_service.supervisor.authentication.token_keys import Keys, NotRead, TokenKeys
from support.issuer import KeyServer, ec_key, key_server, key_set
from unit.pop3_service.clock import FakeClock

A, B = ec_key("a"), ec_key("b")


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    with key_server(tmp_path_factory.mktemp("issuer")) as served:
        yield served


@pytest.fixture
def server(shared_server: KeyServer) -> KeyServer:
    shared_server.body, shared_server.status = key_set(A), 200
    shared_server.headers, shared_server.asked = {}, 0
    return shared_server


class Issuer:
    """The keys, as the setting names them and as they are held."""

    def __init__(self, source: str, authorities: Path) -> None:
        self.source = source
        self.clock = FakeClock()
        self.reader = TokenKeySource(authorities)
        self.keys = TokenKeys(lambda: self.source, self.reader.load, self.clock)

    async def kids(self) -> list[str | None]:
        return [key.kid for key in await self.keys.held()]


@pytest.fixture
def issuer(server: KeyServer) -> Issuer:
    return Issuer(server.address, server.authorities)


# --- reading --------------------


def load(server: KeyServer, source: str | None = None, authorities: Path | None = None) -> Keys:
    return TokenKeySource(authorities or server.authorities).load(source or server.address)


def test_keys_are_read_from_an_https_address(server: KeyServer) -> None:
    assert [key.kid for key in load(server, server.address + "?tenant=1")] == ["a"]


def test_keys_are_read_from_a_file(server: KeyServer, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(A, B))
    assert [key.kid for key in load(server, str(path))] == ["a", "b"]


def not_read(server: KeyServer, source: str | None = None, authorities: Path | None = None) -> str:
    with pytest.raises(NotRead) as error:
        load(server, source, authorities)
    return str(error.value)


def test_a_file_that_cannot_be_read_is_told(server: KeyServer, tmp_path: Path) -> None:
    assert not_read(server, str(tmp_path / "none")) == "No such file or directory"
    assert not_read(server, str(tmp_path)) == "Is a directory"
    assert not_read(server, f"{tmp_path}/\0") == "embedded null byte"


def test_a_server_that_is_not_trusted_is_not_asked(server: KeyServer, tmp_path: Path) -> None:
    asked = server.asked
    told = not_read(server, server.address.replace("localhost", "127.0.0.1"))
    assert "not trusted" in told
    with key_server(tmp_path, "other.test") as other:
        assert "not trusted" in not_read(server, other.address)
        assert other.asked == 0
    assert server.asked == asked


def test_without_a_file_the_systems_authorities_are_trusted_alone(server: KeyServer) -> None:
    with pytest.raises(NotRead, match="not trusted"):
        TokenKeySource(None).load(server.address)


def test_a_file_of_authorities_that_is_not_there_is_told(server: KeyServer, tmp_path: Path) -> None:
    assert not_read(server, authorities=tmp_path / "none") == "No such file or directory"


@pytest.mark.parametrize("status", [204, 301, 302, 404, 500])
def test_no_other_answer_than_ok_is_taken(server: KeyServer, status: int) -> None:
    server.status = status
    server.headers = {"Location": server.address + "/elsewhere"}
    assert not_read(server) == f"the answer's status is {status}"
    assert server.asked == 1


def test_an_answer_that_is_too_long_is_not_taken(server: KeyServer, tmp_path: Path) -> None:
    server.body = key_set(A, padding="x" * token_key_source.MAX_OCTETS)
    assert "longer than" in not_read(server)
    path = tmp_path / "keys.json"
    path.write_bytes(server.body)
    assert "longer than" in not_read(server, str(path))


def test_an_answer_that_is_cut_off_is_not_taken(server: KeyServer) -> None:
    server.headers = {"Content-Length": "100000"}
    assert not_read(server) == "the answer was cut off"


def test_an_answer_that_is_no_key_set_is_not_taken(server: KeyServer) -> None:
    server.body = b"<html>"
    assert not_read(server) == "it is no JWK set"


def test_a_server_that_is_not_there_is_told(server: KeyServer) -> None:
    assert not_read(server, "https://localhost:1/keys") == "Connection refused"


def test_a_server_that_says_nothing_is_given_up(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_key_source, "STEP_S", 0.1)
    server.go.clear()
    try:
        assert "timed out" in not_read(server)
    finally:
        server.go.set()


def test_a_server_that_never_comes_to_an_end_is_given_up(
    server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_key_source, "LIMIT_S", 0.1)
    server.go.clear()
    try:
        assert not_read(server)
    finally:
        server.go.set()


# --- keeping --------------------


async def test_keys_are_read_at_the_first_login_and_kept(issuer: Issuer, server: KeyServer) -> None:
    for _ in range(3):
        assert await issuer.kids() == ["a"]
    assert server.asked == 1


async def test_without_keys_tokens_cannot_be_checked(issuer: Issuer, server: KeyServer) -> None:
    server.status = 503
    for _ in range(3):
        with pytest.raises(ServiceUnavailable):
            await issuer.keys.held()
    assert server.asked == 1
    assert issuer.keys.warnings() == ["token keys: the answer's status is 503"]
    server.status = 200
    issuer.clock.move(token_keys.UNKNOWN_S)
    assert await issuer.kids() == ["a"]
    assert issuer.keys.warnings() == []


async def test_without_a_source_there_is_nothing_to_read(issuer: Issuer, server: KeyServer) -> None:
    issuer.source = ""
    await issuer.keys.look()
    with pytest.raises(ServiceUnavailable):
        await issuer.keys.held()
    assert server.asked == 0


async def test_an_unknown_key_is_looked_for_once_for_all_who_wait(
    issuer: Issuer, server: KeyServer
) -> None:
    old = await issuer.keys.held()
    server.body = key_set(A, B)
    issuer.clock.move(token_keys.UNKNOWN_S)
    server.go.clear()
    waiting = [asyncio.create_task(issuer.keys.newer(old)) for _ in range(50)]
    while server.asked < 2:
        await asyncio.sleep(0)
    server.go.set()
    found = await asyncio.gather(*waiting)
    assert {tuple(key.kid for key in it) for it in found} == {("a", "b")}
    assert server.asked == 2
    assert await issuer.keys.newer(old) == found[0]
    assert server.asked == 2


async def test_unknown_keys_are_not_looked_for_all_the_time(
    issuer: Issuer, server: KeyServer
) -> None:
    keys = await issuer.keys.held()
    for _ in range(5):
        assert await issuer.keys.newer(keys) is keys
    assert server.asked == 1
    issuer.clock.move(token_keys.UNKNOWN_S)
    for _ in range(5):
        keys = await issuer.keys.newer(keys)
    assert server.asked == 2


async def test_a_login_that_is_given_up_does_not_end_the_reading(
    issuer: Issuer, server: KeyServer
) -> None:
    server.go.clear()
    first = asyncio.create_task(issuer.kids())
    while not server.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(issuer.kids())
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    server.go.set()
    assert await second == ["a"]
    assert server.asked == 1


async def test_keys_are_read_again_when_they_grow_old(issuer: Issuer, server: KeyServer) -> None:
    await issuer.keys.look()
    server.body = key_set(B)
    issuer.clock.move(token_keys.ADDRESS_AGE_S - 1)
    await issuer.keys.look()
    assert await issuer.kids() == ["a"]
    issuer.clock.move(1)
    await issuer.keys.look()
    assert await issuer.kids() == ["b"]


async def test_a_file_is_read_again_sooner(issuer: Issuer, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(A))
    issuer.source = str(path)
    await issuer.keys.look()
    path.write_bytes(key_set(B))
    issuer.clock.move(token_keys.FILE_AGE_S)
    await issuer.keys.look()
    assert await issuer.kids() == ["b"]


async def test_the_old_keys_stay_when_new_ones_cannot_be_read(
    issuer: Issuer, server: KeyServer
) -> None:
    keys = await issuer.keys.held()
    server.status = 500
    with structlog.testing.capture_logs() as logs:
        for seconds in (token_keys.ADDRESS_AGE_S, token_keys.RETRY_S, token_keys.RETRY_S):
            issuer.clock.move(seconds)
            await issuer.keys.look()
        assert await issuer.keys.newer(keys) is keys
        server.status = 200
        issuer.clock.move(token_keys.RETRY_S)
        await issuer.keys.look()
    assert [(it["log_level"], it["event"], it.get("reason")) for it in logs] == [
        ("error", "token keys not read; those before stay", "the answer's status is 500"),
        ("info", "token keys read", None),
    ]
    assert server.asked == 5
    assert issuer.keys.warnings() == []


async def test_a_fault_in_reading_keys_does_not_end_their_being_followed(
    server: KeyServer,
) -> None:
    source = TokenKeySource(server.authorities)
    faults: list[Exception] = [RuntimeError("a library's")]

    def load(address: str) -> Keys:
        if faults:
            raise faults.pop()
        return source.load(address)

    clock = FakeClock()
    keys = TokenKeys(lambda: server.address, load, clock)
    with pytest.raises(ServiceUnavailable):
        await keys.held()
    assert keys.warnings() == ["token keys: internal error"]
    clock.move(token_keys.RETRY_S)
    await keys.look()
    assert [key.kid for key in await keys.held()] == ["a"]
    assert keys.warnings() == []


async def test_another_source_makes_the_keys_of_the_one_before_worthless(
    issuer: Issuer, server: KeyServer, tmp_path: Path
) -> None:
    assert await issuer.kids() == ["a"]
    issuer.source = str(tmp_path / "none")
    with pytest.raises(ServiceUnavailable):
        await issuer.keys.held()
    server.body = key_set(B)
    issuer.source = server.address
    assert await issuer.kids() == ["b"]


async def test_keys_of_a_source_that_was_changed_meanwhile_are_not_taken(
    issuer: Issuer, server: KeyServer, tmp_path: Path
) -> None:
    server.go.clear()
    old = asyncio.create_task(issuer.keys.held())
    while not server.asked:
        await asyncio.sleep(0)
    path = tmp_path / "keys.json"
    path.write_bytes(key_set(B))
    issuer.source = str(path)
    assert await issuer.kids() == ["b"]
    server.go.set()
    assert [key.kid for key in await old] == ["b"]


async def test_keys_are_followed_until_the_end(issuer: Issuer, server: KeyServer) -> None:
    issuer.clock.waits = True
    async with issuer.keys.following():
        while server.asked < 1 or not issuer.clock.slept:
            await asyncio.sleep(0)
        server.body = key_set(B)
        while server.asked < 2:
            issuer.clock.move(token_keys.ADDRESS_AGE_S)
            await asyncio.sleep(0.001)
        while await issuer.kids() != ["b"]:
            await asyncio.sleep(0)
        server.go.clear()
        while server.asked < 3:
            issuer.clock.move(token_keys.ADDRESS_AGE_S)
            await asyncio.sleep(0.001)
    server.go.set()
    assert all(task.done() for task in issuer.keys._tasks)
