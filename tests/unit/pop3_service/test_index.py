"""The index for life: it may be lost, damaged, of another, or written by two at a time."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import scale
from pop3_service.domain.errors import MessageNotFound
from pop3_service.maildir import index, listing
from pop3_service.maildir.index import INDEX_FILE
from pop3_service.maildir.lock import MaildropLock
from pop3_service.maildir.maildrop import Maildrop
from pop3_service.maildir.paths import make_folder
from support.maildrops import end_session

ANA, EVA = ("ana",), ("eva",)
MAIL = {"new/1000.a": b"x\n", "new/1001.b": b"longer\nby far\n", "cur/1002.c:2,S": b"c\r\n"}
OCTETS = [3, 16, 3]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for parts in (ANA, EVA):
        make_folder(tmp_path, parts)
    for name, content in MAIL.items():
        (tmp_path / "ana" / name).write_bytes(content)
    return tmp_path


@pytest.fixture
def lock(root: Path) -> Iterator[MaildropLock]:
    lock = MaildropLock(root)
    yield lock
    lock.close()


def listed(root: Path, lock: MaildropLock, parts: tuple[str, ...] = ANA) -> list[tuple[str, int]]:
    drop = Maildrop.open(root, parts, lock)
    end_session(drop)
    return [(message.uidl, message.octets) for message in drop.messages]


RIGHT = list(zip(["1000.a", "1001.b", "1002.c"], OCTETS, strict=True))


def test_an_index_cut_off_anywhere_is_made_anew(root: Path, lock: MaildropLock) -> None:
    assert listed(root, lock) == RIGHT
    file = root / "ana" / INDEX_FILE
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert listed(root, lock) == RIGHT
        assert len(file.read_bytes()) > length


def test_an_index_with_any_bit_turned_is_made_anew(root: Path, lock: MaildropLock) -> None:
    assert listed(root, lock) == RIGHT
    file = root / "ana" / INDEX_FILE
    whole = file.read_bytes()
    bits = range(len(whole) * 8)
    for bit in random.Random(3).sample(bits, min(scale.INDEX_DAMAGES, len(bits))):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        assert listed(root, lock) == RIGHT, bit
        assert file.read_bytes() != damaged


def test_the_index_of_another_maildrop_says_nothing_of_this_one(
    root: Path, lock: MaildropLock
) -> None:
    """As after a copy of folders, which gives every file another inode."""
    for name, content in MAIL.items():
        (root / "eva" / name).write_bytes(content * 2)
    assert listed(root, lock) == RIGHT
    twice = listed(root, lock, EVA)
    assert [octets for _, octets in twice] == [6, 32, 6]
    (root / "eva" / INDEX_FILE).write_bytes((root / "ana" / INDEX_FILE).read_bytes())
    assert listed(root, lock, EVA) == twice
    (root / "ana" / INDEX_FILE).unlink()
    assert listed(root, lock) == RIGHT


@pytest.mark.parametrize(
    ("folder", "name"),
    [("../eva/new", "2000.secret"), ("new", "../../eva/new/2000.secret"), ("{eva}", "2000.secret")],
)
def test_an_index_that_leads_out_of_the_maildrop_is_not_believed(
    root: Path, lock: MaildropLock, folder: str, name: str
) -> None:
    """Whoever delivers into a Maildir can write an index there that is sound in its form."""
    secret = root / "eva/new/2000.secret"
    secret.write_bytes(b"for eva alone\n")
    theirs = Maildrop.open(root, EVA, lock).messages[0]
    folder = folder.replace("{eva}", str(root / "eva/new"))
    forged = msgspec.structs.replace(theirs, folder=folder, name=name)
    folder_fd = os.open(root / "ana", os.O_RDONLY)
    index.save(folder_fd, [forged], listing.folder_state(folder_fd))
    os.close(folder_fd)
    drop = Maildrop.open(root, ANA, lock)
    assert [(message.uidl, message.octets) for message in drop.messages] == RIGHT
    drop.close()


@pytest.mark.parametrize("uidl", ["1\r\n.\r\n+OK", "\u00e9"])
def test_an_index_with_an_id_that_cannot_stand_in_a_listing_is_not_believed(
    root: Path, lock: MaildropLock, uidl: str
) -> None:
    drop = Maildrop.open(root, ANA, lock)
    drop.close()
    folder_fd = os.open(root / "ana", os.O_RDONLY)
    forged = [msgspec.structs.replace(message, uidl=uidl) for message in drop.messages]
    index.save(folder_fd, forged, listing.folder_state(folder_fd))
    os.close(folder_fd)
    assert listed(root, lock) == RIGHT


@pytest.mark.parametrize("change", ["longer", "shorter", "same size"])
def test_a_message_rewritten_in_place_is_never_what_the_index_says(
    root: Path, lock: MaildropLock, change: str
) -> None:
    """That leaves no trace in its folder, so it may be found out no sooner than at RETR."""
    for folder in ("new", "cur"):
        os.utime(root / "ana" / folder, (10**9, 10**9 + 0.5))
    assert listed(root, lock) == RIGHT
    path = root / "ana/new/1001.b"
    content = {"longer": b"y\n" * 50, "shorter": b"y", "same size": b"\n" * 14}[change]
    inode = path.stat().st_ino
    path.write_bytes(content)
    assert path.stat().st_ino == inode
    right = {"longer": 150, "shorter": 3, "same size": 28}[change]
    drop = Maildrop.open(root, ANA, lock)
    end_session(drop)
    with pytest.raises(MessageNotFound):
        drop.open_message(drop.messages[1])
    assert listed(root, lock) == [RIGHT[0], ("1001.b", right), RIGHT[2]]


# It comes to the maildrop from another root, where its lock is another one: nothing keeps the two
# from writing the index at the same time.
WRITER = """
import sys
from pathlib import Path
from pop3_service.domain.errors import MessageNotFound
from pop3_service.maildir.index import INDEX_FILE
from pop3_service.maildir.lock import MaildropLock
from pop3_service.maildir.maildrop import Maildrop
root = Path(sys.argv[1])
lock = MaildropLock(root)
rounds = 0
while (root / "ana/tmp/going-on").exists() or not rounds:
    drop = Maildrop.open(root, ("ana",), lock)
    drop.close()
    if drop.index_is_old:
        drop.save_index()
    for message in drop.messages:
        assert message.octets == 3 * int(message.name.split(".")[1]), message
    if rounds % 3 == 0:
        (root / "ana" / INDEX_FILE).unlink(missing_ok=True)
    rounds += 1
    print(rounds, flush=True)
"""


def test_two_processes_may_write_the_index_at_the_same_time(tmp_path: Path) -> None:
    """While mail comes and goes, each of them lists what there is, with its size."""
    make_folder(tmp_path, ("inner", "ana"))
    inner, new = tmp_path / "inner", tmp_path / "inner/ana/new"
    going_on = inner / "ana/tmp/going-on"
    going_on.touch()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(inner)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None
    assert writer.stdout.readline() == "1\n"
    lock = MaildropLock(tmp_path)
    for number in range(1, scale.INDEX_WRITES):
        part = inner / "ana/tmp/part"
        part.write_bytes(b"x\n" * number)
        part.rename(new / f"{number:06}.{number}")
        if number > 20:
            (new / f"{number - 20:06}.{number - 20}").unlink()
        drop = Maildrop.open(tmp_path, ("inner", "ana"), lock)
        end_session(drop)
        assert [it.octets for it in drop.messages] == [
            3 * it for it in range(max(1, number - 19), number + 1)
        ]
    going_on.unlink()
    told, failed = writer.communicate(timeout=60)
    assert (writer.returncode, failed) == (0, "")
    assert told.count("\n") > 1
    assert [path.name for path in (inner / "ana").glob(".valija-index*")] in ([], [INDEX_FILE])
    lock.close()
