"""The programs in the box, run in this process, and mail to run them on."""

from __future__ import annotations

import argparse
import email
import email.policy
from collections.abc import Iterable
from email.message import EmailMessage
from importlib import import_module

from valija_transform.cli import COMMANDS
from valija_transform.commands import Command
from valija_transform.protection import Signed
from valija_transform.running import change

ALL = (
    ("strip-attachments", "--replace"),
    ("strip-attachments", "--type", "*/*"),
    ("text-only", "--list"),
    ("defang",),
    ("banner", "--text", "Von außen"),
    ("banner", "--text", "From outside", "--position", "end"),
    ("redact", "--find", "card", "--find", "iban", "--find", "email"),
    ("redact", "--pattern", "[a-z]+", "x", "--header", "Subject", "--header", "From"),
    ("header", "--set", "Subject: Grüße", "--add", "X-New: 1", "--remove", "X-*"),
)
"""Every command, with options that make it change as much as it can."""


def command(name: str, *options: str) -> Command:
    """Make a command as the command line does."""
    module = import_module(f"valija_transform.commands.{COMMANDS[name]}")
    parser = argparse.ArgumentParser()
    module.add_options(parser)
    made: Command = module.make(parser.parse_args(options))
    return made


def passed(
    octets: bytes,
    name: str,
    *options: str,
    signed: Signed = Signed.KEEP,
    strict: bool = False,
) -> bytes:
    """Pass mail through a command."""
    return b"".join(change(octets, command(name, *options), signed, strict=strict))


def read(octets: bytes) -> EmailMessage:
    """Read mail with the email package."""
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(octets: bytes, kind: str = "plain") -> str:
    """Give the decoded text of the first part of a kind."""
    for part in read(octets).walk():
        if part.get_content_type() == f"text/{kind}":
            return str(part.get_content())
    raise AssertionError(f"no text/{kind}")


def mail(*lines: str, eol: str = "\n") -> bytes:
    """Make mail of lines, UTF-8."""
    return eol.join((*lines, "")).encode()


def multipart(kind: str, parts: Iterable[bytes], *, eol: str = "\n", boundary: str = "B") -> bytes:
    """Make a message of parts, each with its header."""
    end = eol.encode()
    head = mail(
        "From: a@example.org",
        "Subject: parts",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/{kind}; boundary="{boundary}"',
        "",
        "This is a multipart message.",
        eol=eol,
    )
    mark = f"--{boundary}".encode()
    body = b"".join(mark + end + part + end for part in parts)
    return head + body + mark + b"--" + end + b"epilogue" + end


def part(kind: str, body: str, *fields: str, eol: str = "\n") -> bytes:
    """Make a part, without a line end at its end."""
    return eol.join((f"Content-Type: {kind}", *fields, "", body)).encode()


PLAIN = part("text/plain; charset=utf-8", "see http://evil.example/x")
HTML = part("text/html; charset=utf-8", '<p><a href="http://evil.example/x">here</a></p>')
PDF = part(
    'application/pdf; name="a.pdf"',
    "JVBERi0xLjQK",
    "Content-Transfer-Encoding: base64",
    'Content-Disposition: attachment; filename="a.pdf"',
)
