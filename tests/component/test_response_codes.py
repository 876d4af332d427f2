"""Response codes (RFC 2449 section 8, RFC 3206): each provoked on the real service."""

import base64
import contextlib
import shutil
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from component.conftest import Service
from pop3_service.worker.errors import TOLD
from support.events import wait_for

Provoke = Callable[[Service, contextlib.ExitStack], str]
DELAY = timedelta(days=1)


def log_in(service: Service, name: str, password: str = "secret") -> str:
    with service.connect() as client:
        reply = client.log_in(name, password)
        assert client.ask("QUIT") == "+OK bye"  # so that it is free for the next
        return reply


@contextlib.contextmanager
def setting(service: Service, **values: object) -> Iterator[None]:
    """Change a number or a time, which is 0 again at the end."""
    service.change(**values)
    try:
        yield
    finally:
        service.change(**{name: type(value)(0) for name, value in values.items()})


def wrong_password(service: Service, _: contextlib.ExitStack) -> str:
    return log_in(service, service.account().name, "wrong")


def maildrop_in_use(service: Service, stack: contextlib.ExitStack) -> str:
    box = service.account()
    assert stack.enter_context(service.connect()).log_in(box.name) == "+OK Logged in"
    return log_in(service, box.name)


def too_soon(service: Service, stack: contextlib.ExitStack) -> str:
    box = service.account()
    stack.enter_context(setting(service, login_delay=DELAY))
    assert log_in(service, box.name) == "+OK Logged in"
    return log_in(service, box.name)


def no_folder(service: Service, _: contextlib.ExitStack) -> str:
    box = service.account()
    shutil.rmtree(box.path)
    box.path.write_text("a file")
    return log_in(service, box.name)


def a_link(service: Service, _: contextlib.ExitStack) -> str:
    box = service.account()
    elsewhere = service.account()
    shutil.rmtree(box.path)
    box.path.symlink_to(elsewhere.path)
    return log_in(service, box.name)


def new_is_a_file(service: Service, _: contextlib.ExitStack) -> str:
    box = service.account()
    (box.path / "new").rmdir()
    (box.path / "new").write_text("a file")
    return log_in(service, box.name)


def transform_fails(service: Service, stack: contextlib.ExitStack) -> str:
    box = service.account(b"has none\n")
    stack.callback(service.transform)
    service.transform("grep Subject")
    client = stack.enter_context(service.connect())
    assert client.log_in(box.name) == "+OK Logged in"
    return client.ask("RETR 1")


PROVOKED: dict[str, tuple[Provoke, ...]] = {
    "AUTH": (wrong_password,),
    "IN-USE": (maildrop_in_use,),
    "LOGIN-DELAY": (too_soon,),
    "SYS/TEMP": (transform_fails,),
    "SYS/PERM": (no_folder, a_link, new_is_a_file),
}
EACH = [(code, how) for code, hows in PROVOKED.items() for how in hows]


@pytest.mark.parametrize(("code", "provoke"), EACH, ids=lambda it: getattr(it, "__name__", it))
def test_a_failure_has_its_code(service: Service, code: str, provoke: Provoke) -> None:
    with contextlib.ExitStack() as stack:
        assert provoke(service, stack).startswith(f"-ERR [{code}] ")


def test_every_code_that_a_failure_can_have_is_provoked_here() -> None:
    assert {code for _, code in TOLD.values() if code} == PROVOKED.keys()


# --- LOGIN-DELAY --------------------


def test_a_login_too_soon_is_refused_at_every_worker_and_leaves_the_maildrop_free(
    service: Service,
) -> None:
    box, other = service.account(), service.account()
    with setting(service, login_delay=DELAY):
        assert log_in(service, box.name) == "+OK Logged in"
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(service.connect()) for _ in range(12)]
            assert "LOGIN-DELAY 86400" in clients[0].listing("CAPA")
            replies = {client.log_in(box.name) for client in clients for _ in range(2)}
            assert replies == {"-ERR [LOGIN-DELAY] you logged in a moment ago, try again later"}
            assert clients[0].log_in(other.name) == "+OK Logged in"
            assert "LOGIN-DELAY 86400" in clients[0].listing("CAPA")
    assert log_in(service, box.name) == "+OK Logged in"
    with service.connect() as client:
        assert not [line for line in client.listing("CAPA") if line.startswith("LOGIN-DELAY")]


def test_only_who_has_the_password_is_told_of_the_last_login(service: Service) -> None:
    box = service.account()
    with setting(service, login_delay=DELAY):
        assert log_in(service, box.name) == "+OK Logged in"
        assert log_in(service, box.name, "wrong").startswith("-ERR [AUTH] ")
        assert log_in(service, box.name).startswith("-ERR [LOGIN-DELAY] ")


def test_a_login_by_auth_counts_as_any_other(service: Service) -> None:
    box = service.account()
    message = base64.b64encode(f"\0{box.name}\0secret".encode()).decode()
    with setting(service, login_delay=DELAY):
        with service.connect() as client:
            assert client.ask(f"AUTH PLAIN {message}") == "+OK Logged in"
            assert client.ask("QUIT") == "+OK bye"
        with service.connect() as client:
            assert client.ask(f"AUTH PLAIN {message}").startswith("-ERR [LOGIN-DELAY] ")
        assert log_in(service, box.name).startswith("-ERR [LOGIN-DELAY] ")


def test_a_login_that_another_session_keeps_out_does_not_count(service: Service) -> None:
    box = service.account()
    with service.connect() as holder:
        assert holder.log_in(box.name) == "+OK Logged in"
        with setting(service, login_delay=DELAY):
            assert log_in(service, box.name).startswith("-ERR [IN-USE] ")
            assert holder.ask("QUIT") == "+OK bye"
            assert log_in(service, box.name) == "+OK Logged in"


def test_a_client_that_goes_during_its_login_leaves_the_maildrop_free(service: Service) -> None:
    box = service.account()
    with setting(service, login_delay=DELAY):
        assert log_in(service, box.name) == "+OK Logged in"  # from now on it is remembered
        for _ in range(40):
            with service.connect() as client:
                client.send(f"USER {box.name}\r\nPASS secret\r\n".encode())
                linger = struct.pack("ii", 1, 0)
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        wait_for(lambda: log_in(service, box.name).startswith("-ERR [LOGIN-DELAY] "))
    with service.connect() as client:
        wait_for(lambda: client.log_in(box.name) == "+OK Logged in")


def test_sessions_that_are_refused_do_not_count_as_logged_in(service: Service) -> None:

    def logged_in() -> int:
        return service.manage(lambda admin: admin.get_status()).logged_in_session_count

    box = service.account()
    wait_for(lambda: logged_in() == 0)  # those of the tests before have ended
    with setting(service, login_delay=DELAY), service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
        with service.connect() as again:
            assert logged_in() == 1
            client.ask("QUIT")
            assert again.log_in(box.name).startswith("-ERR [LOGIN-DELAY] ")
            wait_for(lambda: not service.sessions(box.name))
            assert logged_in() == 0
