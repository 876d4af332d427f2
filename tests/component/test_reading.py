"""Reading mail: order, ids, sizes, exact octets, whatever lies in the folder and happens to it."""

import contextlib
import os
import socket

import pytest

import scale
from component.conftest import Service
from lineproto.stuffing import decode, encode
from support.events import wait_for
from support.mailbuilder import collected, crlf_form, varied

MAIL = b"Subject: one\n\nfirst\n"


@pytest.mark.attack(37, "dots", "bare lf", "edges", "no newline", "empty", "headers only", "nul")
def test_varied_messages_come_back_byte_exact_and_sizes_agree(service: Service) -> None:
    messages = [*varied(scale.VARIED_MESSAGES), *collected()]
    box = service.account(*messages)
    with service.connect() as client:
        assert client.ask("UTF8").startswith("+OK")  # else headers in UTF-8 are refused
        assert client.log_in(box.name).startswith("+OK Logged in")
        count, octets = map(int, client.ask("STAT").split()[1:])
        sizes = [int(line.split()[1]) for line in client.listing("LIST")]
        assert count == len(messages) == len(sizes)
        assert octets == sum(sizes)
        for number, message in enumerate(messages, 1):
            first, wire = client.ask_many(f"RETR {number}")
            assert decode(wire) == crlf_form(message), number
            assert first == f"+OK {sizes[number - 1]} octets"
            assert len(decode(wire)) == sizes[number - 1]


@pytest.mark.attack(38, "0", "1", "huge", "no blank line")
def test_top_is_stuffed_like_retr_and_counts_body_lines_only(service: Service) -> None:
    box = service.account(b".Head: 1\nB: 2\n\n.one\ntwo\n.\nfour", b"Only: headers\n")
    with service.connect() as client:
        client.log_in(box.name)
        assert client.ask_many("TOP 1 0")[1] == b"..Head: 1\r\nB: 2\r\n\r\n"
        assert client.ask_many("TOP 1 1")[1] == b"..Head: 1\r\nB: 2\r\n\r\n..one\r\n"
        assert client.ask_many("TOP 1 9999999")[1] == client.ask_many("RETR 1")[1]
        assert client.ask_many("TOP 2 5")[1] == b"Only: headers\r\n"


def test_order_is_by_delivery_over_both_folders_and_restarts(service: Service) -> None:
    box = service.account()
    box.deliver(b"c", "3000.M1P1.h", "new")
    box.deliver(b"a", "1000.M1P1.h:2,S", "cur")
    box.deliver(b"b2", "2000.M20P1.h", "new")
    box.deliver(b"b1", "2000.M3P1.h:2,RS", "cur")
    with service.connect() as client:
        client.log_in(box.name)
        bodies = [client.ask_many(f"RETR {n}")[1] for n in range(1, 5)]
        assert bodies == [b"a\r\n", b"b1\r\n", b"b2\r\n", b"c\r\n"]
        ids = client.listing("UIDL")
        assert ids[0] == "1 1000.M1P1.h"
        assert client.ask("QUIT") == "+OK bye"
    (box.path / "cur/1000.M1P1.h:2,S").rename(box.path / "cur/1000.M1P1.h:2,RST")
    (box.path / "new/3000.M1P1.h").rename(box.path / "cur/3000.M1P1.h:2,")
    (box.path / ".valija-index").write_bytes(b"valija-index 1\n1 2 3 999 x\n00000000\n")
    with service.connect() as client:
        client.log_in(box.name)
        assert client.listing("UIDL") == ids
        assert [client.ask_many(f"RETR {n}")[1] for n in range(1, 5)] == bodies


@pytest.mark.attack(29, "symlink", "hard link", "fifo", "directory")
@pytest.mark.attack(30, "newline", "flags", "long", "false sizes")
def test_what_is_no_mail_is_passed_over_and_harms_nothing(service: Service) -> None:
    box = service.account(MAIL)
    new = box.path / "new"
    (new / "2000.dir").mkdir()
    os.mkfifo(new / "2001.fifo")
    (new / "2002.symlink").symlink_to(new / "1001.M1P1.host")
    (new / "2003.dangling").symlink_to("/nowhere")
    (new / ".gitkeep").write_bytes(b"no mail")
    box.deliver(b"two names", "2004.linked")
    os.link(new / "2004.linked", box.path / "tmp/2004.other")
    with socket.socket(socket.AF_UNIX) as endpoint:
        os.chdir(new)  # a socket's path has few octets
        endpoint.bind("2005.socket")
    box.deliver(b"newline", "2006.a\nb")
    box.deliver(b"flags twice", "2007.x:2,:2,S")
    box.deliver(b"long", "2008." + "n" * 250)
    box.deliver(b"lies about its size", "2009.h,S=99999,W=1")
    with service.connect() as client:
        client.log_in(box.name)
        ids = [line.split(" ", 1)[1] for line in client.listing("UIDL")]
        assert len(ids) == 5
        assert len(set(ids)) == 5
        assert all(0x21 <= ord(c) <= 0x7E for uidl in ids for c in uidl)
        assert all(1 <= len(uidl) <= 70 for uidl in ids)
        texts = [decode(client.ask_many(f"RETR {n}")[1]) for n in range(1, 6)]
        assert texts[1:] == [
            b"newline\r\n", b"flags twice\r\n", b"long\r\n", b"lies about its size\r\n",
        ]  # fmt: skip


@pytest.mark.attack(32, "rename")
def test_a_message_renamed_by_another_program_is_still_found(service: Service) -> None:
    """New to cur, and flags."""
    box = service.account(MAIL, b"two\n")
    with service.connect() as client:
        client.log_in(box.name)
        (box.path / "new/1001.M1P1.host").rename(box.path / "cur/1001.M1P1.host:2,S")
        assert client.ask_many("RETR 1")[1] == encode(MAIL)
        (box.path / "cur/1001.M1P1.host:2,S").rename(box.path / "cur/1001.M1P1.host:2,FS")
        assert client.ask("DELE 1").startswith("+OK")
        (box.path / "cur/1001.M1P1.host:2,FS").rename(box.path / "new/1001.M1P1.host")
        assert client.ask("QUIT").startswith("+OK")
    assert box.files() == {"1002.M2P1.host"}


@pytest.mark.attack(29, "swapped")
@pytest.mark.attack(36)
@pytest.mark.parametrize("change", ["gone", "truncated", "grown", "replaced", "link"])
def test_a_changed_message_is_an_error_for_it_alone(service: Service, change: str) -> None:
    """Another file of that name is never deleted."""
    box = service.account(MAIL, b"two\n")
    path = box.path / "new/1001.M1P1.host"
    with service.connect() as client:
        client.log_in(box.name)
        match change:
            case "gone":
                path.unlink()
            case "truncated":
                os.truncate(path, 3)
            case "grown":
                with path.open("ab") as file:
                    file.write(b"more")
            case "replaced":
                path.rename(box.path / "tmp/kept")
                path.write_bytes(MAIL)
            case "link":
                path.rename(box.path / "tmp/kept")
                path.symlink_to("/etc/passwd")
        assert client.ask("RETR 1").startswith("-ERR")
        assert client.ask("TOP 1 0").startswith("-ERR")
        assert client.ask_many("RETR 2")[1] == b"two\r\n"
        client.ask("DELE 1")
        reply = client.ask("QUIT")
    if change in ("replaced", "link"):
        assert reply.startswith("-ERR [SYS/TEMP] 1 of 1")
        assert path.is_symlink() or path.exists()
    else:
        assert reply.startswith("+OK")


@pytest.mark.attack(31, "truncated")
def test_a_message_cut_short_under_way_has_no_end(service: Service) -> None:
    """No client may believe half a message, or read our words as part of it."""
    box = service.account(b"line\n" * 4_000_000)
    with service.connect() as client:
        client.log_in(box.name)
        client.send(b"RETR 1\r\n")
        assert client.line() == b"+OK 24000000 octets\r\n"
        os.truncate(box.path / "new/1001.M1P1.host", 15_000_000)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := client.file.read1(1 << 20):
                received += piece
    rest = received.replace(b"line\r\n", b"")
    assert len(received) < 24_000_000
    assert len(rest) < 6
    assert b"." not in rest
    wait_for(lambda: any("message broke off" in line for line in service.daemon.log))
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"


@pytest.mark.attack(32, "delivery")
def test_mail_delivered_meanwhile_shows_next_time_and_numbers_never_shift(
    service: Service,
) -> None:
    box = service.account(b"1\n", b"2\n", b"3\n")
    with service.connect() as client:
        client.log_in(box.name)
        box.deliver(b"0\n", "0001.early")
        client.ask("DELE 1")
        assert client.ask("STAT") == "+OK 2 6"
        assert client.listing("LIST") == ["2 3", "3 3"]
        assert client.ask_many("RETR 3")[1] == b"3\r\n"
        assert client.ask("RETR 1").startswith("-ERR")
        assert client.ask("DELE 1").startswith("-ERR")
        assert client.ask("DELE 0").startswith("-ERR")
        assert client.ask("RSET").startswith("+OK")
        assert client.ask("STAT") == "+OK 3 9"
        client.ask("QUIT")
    with service.connect() as client:
        client.log_in(box.name)
        assert client.ask("STAT") == "+OK 4 12"
        assert client.ask_many("RETR 1")[1] == b"0\r\n"


def test_a_large_message_streams_and_starves_nobody(service: Service, tmp_path) -> None:
    size = scale.LARGE_MESSAGE
    box, other = service.account(), service.account(MAIL)
    line = b"." + b"x" * 1022 + b"\n"
    with (box.path / "new/1.large").open("wb") as file:
        for _ in range(size // len(line)):
            file.write(line)
    with service.connect(120) as client, service.connect() as quick:
        client.log_in(box.name)
        client.send(b"RETR 1\r\n")
        first = client.line()
        lines = size // len(line)
        assert first == b"+OK %d octets\r\n" % (lines * 1025)
        assert quick.log_in(other.name).startswith("+OK")
        assert quick.ask_many("RETR 1")[1] == encode(MAIL)
        wanted = b"." + line.replace(b"\n", b"\r\n")
        for _ in range(lines):
            assert client.line() == wanted
        assert client.line() == b".\r\n"
