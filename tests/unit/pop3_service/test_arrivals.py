"""Whose mail has changed: on real folders, whose times the tests set."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pop3_service.domain.errors import MessageNotFound
from pop3_service.maildir.arrivals import Arrivals
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.paths import MailPaths, make_folder

ANA, BEN = "ana", "ben"
EVERYBODY = (ANA, BEN)
LONG_AGO_NS = time.time_ns() - 60 * 10**9


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for account in EVERYBODY:
        make_folder(tmp_path, (account,))
        settle(tmp_path, account)
    return tmp_path


@pytest.fixture
def arrivals(root: Path) -> Arrivals:
    return Arrivals(MailPaths(root))


def settle(root: Path, account: str, time_ns: int = LONG_AGO_NS) -> None:
    """Let the folders have changed last at a time."""
    for folder in ("new", "cur"):
        os.utime(root / account / folder, ns=(time_ns, time_ns))


def deliver(root: Path, account: str, name: str = "1001.M1P1.host") -> Path:
    path = root / account / "new" / name
    path.write_bytes(b"Subject: x\n\nx\n")
    return path


def test_everybody_is_new_at_first_and_seen_after_a_look(root: Path, arrivals: Arrivals) -> None:
    assert arrivals.changed(EVERYBODY) == [ANA, BEN]
    arrivals.look(ANA)
    assert arrivals.changed(EVERYBODY) == [BEN]


def test_mail_that_comes_goes_or_moves_is_a_change(root: Path, arrivals: Arrivals) -> None:
    arrivals.look(ANA)
    path = deliver(root, ANA)
    assert arrivals.changed([ANA]) == [ANA]
    settle(root, ANA, LONG_AGO_NS + 10**9)
    assert [message.name for message in arrivals.look(ANA)] == [path.name]
    assert arrivals.changed([ANA]) == []
    moved = path.rename(root / ANA / "cur" / f"{path.name}:2,S")
    assert arrivals.changed([ANA]) == [ANA]
    settle(root, ANA, LONG_AGO_NS + 2 * 10**9)
    arrivals.look(ANA)
    moved.unlink()
    assert arrivals.changed([ANA]) == [ANA]


@pytest.mark.parametrize("whole_seconds", [False, True])
def test_what_changed_in_the_tick_of_the_look_counts_once_more(
    root: Path, arrivals: Arrivals, whole_seconds: bool
) -> None:
    """Another message may have come since, and left the folder's time as it was."""
    now_ns = time.time_ns()
    later_ns = now_ns + 60 * 10**9
    settle(root, ANA, later_ns // 10**9 * 10**9 if whole_seconds else later_ns)
    arrivals.look(ANA)
    assert arrivals.changed([ANA]) == [ANA]


def test_what_is_no_mail_does_not_make_a_folder_change_for_ever(
    root: Path, arrivals: Arrivals
) -> None:
    os.mkfifo(root / ANA / "new" / "fifo")
    settle(root, ANA)
    assert arrivals.look(ANA) == ()
    assert arrivals.changed([ANA]) == []


def test_who_has_no_maildir_or_no_mail_path_has_no_mail(root: Path) -> None:
    paths = MailPaths(root, "{domain}/{local}")
    assert Arrivals(paths).changed(["cy@example.org", "dan"]) == []


def test_what_was_forgotten_is_new_again(root: Path, arrivals: Arrivals) -> None:
    for account in EVERYBODY:
        arrivals.look(account)
    arrivals.forget(ANA)
    assert arrivals.changed(EVERYBODY) == [ANA]
    arrivals.keep([ANA])
    assert arrivals.changed(EVERYBODY) == [ANA, BEN]


@pytest.fixture
def held(root: Path) -> Iterator[None]:
    lock = MaildropLock(root)
    lock.acquire(lock_key((ANA,)))
    yield
    lock.close()


@pytest.mark.usefixtures("held")
def test_a_session_that_has_the_maildrop_is_not_waited_for(root: Path, arrivals: Arrivals) -> None:
    path = deliver(root, ANA)
    (message,) = arrivals.look(ANA)
    with open(arrivals.open_message(ANA, message), "rb") as file:
        assert file.read() == path.read_bytes()


def test_a_message_that_moved_went_or_is_another_is_not_opened(
    root: Path, arrivals: Arrivals
) -> None:
    path = deliver(root, ANA)
    (message,) = arrivals.look(ANA)
    moved = path.rename(root / ANA / "cur" / path.name)
    with pytest.raises(MessageNotFound):
        arrivals.open_message(ANA, message)
    path.write_bytes(moved.read_bytes() + b"more\n")
    with pytest.raises(MessageNotFound):
        arrivals.open_message(ANA, message)


def test_a_look_spares_the_next_login_the_reading(root: Path, arrivals: Arrivals) -> None:
    deliver(root, ANA)
    arrivals.look(ANA)
    assert (root / ANA / ".valija-index").exists()
