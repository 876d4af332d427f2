"""The demo: three accounts with the sample mail, made on a first start that asks for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

ACCOUNTS = (("user1", b"pass1"), ("user2", b"pass2"), ("user3", b"pass3"))


def messages(name: str) -> list[bytes]:
    """Give an account's sample mail: the welcome, and a few that are hard to send right."""
    head = f"From: Valija <postmaster@example.org>\nTo: {name}@example.org\n"
    date = "Date: Thu, 01 Jan 2026 12:00:0{} +0000\nMessage-ID: <demo-{}@example.org>\n"
    texts = (
        ("Welcome to the service", "", f"Welcome, {name}!\n\nThis is your mailbox.\n"),
        ("Lines that begin with a dot", "", ".\n..\n.hidden\nThe end is not here:\n.\nbut here.\n"),
        (
            "=?utf-8?q?A_la_ma=C3=B1ana?=",
            "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
            "Content-Transfer-Encoding: 8bit\n",
            "Buenos días: mañana llega la valija.\n",
        ),
        ("No line end at the end", "", "The last line has none"),
    )
    made = []
    for number, (subject, extra, body) in enumerate(texts):
        text = f"{head}{date.format(number, number)}Subject: {subject}\n{extra}\n{body}"
        made.append(text.encode())
    made[1] = made[1].replace(b"\n", b"\r\n")
    return made


async def chunks(message: bytes) -> AsyncIterator[bytes]:
    """Give a message as a stream."""
    yield message
