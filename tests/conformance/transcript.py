"""Transcripts: a dialogue as text, played to the real programs and compared line by line.

A file holds comments (``#``), directives (``word: value``) and the dialogue::

    account: ana secret         an account; its role may follow
    mail: Subject: a\\n\\nb\\n      its next message (of the account named last)
    setting: apop = on          a setting of the service
    transform: wc               a command line that is active for everybody; empty for none
    pop3: first                 speak on this connection from here on; opened if it is not there
    pop3s: third                the same as pop3, in TLS from the first octet
    apop: ana a secret          an account's APOP secret; ``{timestamp}`` is the greeting's, and
                                ``{digest}`` will be its digest with this secret
    bearer: right ana           tokens are on, and ``{right}`` is a message of OAUTHBEARER with one
                                for that account
    scmp: second                the same, to the gateway
    scmps: fourth               the same, in TLS from the first octet
    login: ana secret           USER and PASS on the connection there is, or on a new one
    C: DELE 1                   lines sent; those that follow each other go out as one segment
    S: +OK *                    a line received: exact, but ``*`` is any text and ``{x}`` is any
                                word, which later lines may use
    closed                      the server has closed the connection
    handshake                   TLS begins on the connection, as after STLS
    drop                        the client closes it, and the service has noticed
    kept: 2 3                   the messages whose files are there, of the account named last
    vanish: 1                   another program removes a message's file
    compare: before + 5 = after sums of words that were received as numbers, ``=`` or ``<``

In mail, lines and passwords ``\\r \\n \\t \\\\ \\xff`` stand for octets. At the end each
connection still open is closed by the client, and nothing more may have come.
"""

import base64
import hashlib
import itertools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from component.conftest import Mailbox, Service
from pop3mgmt.v1 import server_pb2
from support import issuer
from support.events import wait_for
from support.gateway import Gateway
from support.pop3 import Pop3
from support.tls import client_context

_numbers = itertools.count()
PLAIN = {"n": b"\n", "r": b"\r", "t": b"\t", "\\": b"\\"}


class Mismatch(AssertionError):
    """The server said something else, or the transcript is not one."""


@dataclass
class Programs:
    """What transcripts are played to."""

    service: Service
    gateway: Gateway

    def as_new(self) -> None:
        """Leave no session, account or setting behind."""
        wait_for(lambda: not self.service.sessions())

        settings: dict[str, Any] = {
            "max_accounts": 1000,
            "max_connections": 1000,
            "oauth_jwks": "",
            "language": "en",
            "unicode_headers": "refuse",
            "login_delay": timedelta(0),
            "expire_days": 0,
            "apop": False,
        }

        async def clean(admin) -> None:
            for account in await admin.list_accounts():
                if account.name != "default":
                    await admin.delete_account(account.name, delete_mail=True)
            for role in await admin.list_roles():
                if not role.built_in:
                    await admin.delete_role(role.name)
            await admin.use_command_line("")
            await admin.update_settings(server_pb2.Settings(**settings), list(settings))

        self.service.manage(clean)


def setting_value(text: str) -> int | str | timedelta:
    """Read a setting's value; ``60s`` is a time, ``on`` and ``off`` are a switch's."""
    if text in ("on", "off"):
        return text == "on"
    if text[:-1].isdigit() and text.endswith("s"):
        return timedelta(seconds=int(text[:-1]))
    return int(text) if text.isdigit() else text


@dataclass
class Line:
    """One line of a transcript."""

    number: int
    word: str
    value: str


def read(text: str) -> list[Line]:
    """Take a transcript apart."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            word, _, value = line.partition(":")
            lines.append(Line(number, word.strip(), value.removeprefix(" ")))
    return lines


def octets(text: str) -> bytes:
    """The octets that a text with escapes stands for."""
    made, at = b"", 0
    for found in re.finditer(r"\\(x[0-9a-f]{2}|.)", text):
        made += text[at : found.start()].encode()
        name = found[1]
        made += bytes.fromhex(name[1:]) if len(name) == 3 else PLAIN[name]
        at = found.end()
    return made + text[at:].encode()


@dataclass
class Player:
    """Plays one transcript."""

    programs: Programs
    name: str
    timeout_s: float = 20
    _connections: dict[str, Pop3] = field(default_factory=dict)
    _current: str = ""
    _greeted: set[str] = field(default_factory=set)
    _unsent: bytes = b""
    _mailboxes: dict[str, tuple[Mailbox, list[Path]]] = field(default_factory=dict)
    _named: str = ""
    _words: dict[str, bytes] = field(default_factory=dict)
    _secret: bytes = b""

    def play(self, text: str) -> None:
        """Play it all.

        Raises:
            Mismatch: with the line where it happened.
        """
        acts: dict[str, Callable[[str], None]] = {
            "account": self._account,
            "mail": self._mail,
            "setting": self._setting,
            "transform": self.programs.service.transform,
            "pop3": lambda label: self._connect("pop3", label),
            "pop3s": lambda label: self._connect("pop3s", label),
            "handshake": self._handshake,
            "scmp": lambda label: self._connect("scmp", label),
            "scmps": lambda label: self._connect("scmps", label),
            "login": self._login,
            "C": self._send,
            "S": self._expect,
            "closed": self._closed,
            "drop": self._drop,
            "kept": self._kept,
            "vanish": self._vanish,
            "bearer": self._bearer,
            "apop": self._apop,
            "compare": self._compare,
        }
        number = 0
        try:
            for line in read(text):
                number = line.number
                if line.word not in acts:
                    raise Mismatch(f"there is no directive {line.word!r}")
                if line.word != "C":
                    self._flush()
                acts[line.word](line.value)
            self._finish()
        except (Mismatch, TimeoutError, OSError) as error:
            raise Mismatch(f"{self.name}, line {number}: {error or type(error)}") from error
        finally:
            for client in self._connections.values():
                client.close()

    # --- what is there --------------------

    def _account(self, value: str) -> None:
        self._named, password, *role = value.split()
        service = self.programs.service
        service.manage(
            lambda admin: admin.create_account(self._named, octets(password).decode(), *role)
        )
        self._mailboxes[self._named] = (
            Mailbox(self._named, service.daemon.mail / self._named),
            [],
        )

    def _mail(self, value: str) -> None:
        mailbox, files = self._mailboxes[self._named]
        number = len(files) + 1
        files.append(mailbox.deliver(octets(value), f"{1000 + number}.M{number}P1.host"))

    def _setting(self, value: str) -> None:
        name, _, text = (part.strip() for part in value.partition("="))
        self.programs.service.change(**{name: setting_value(text)})

    def _apop(self, value: str) -> None:
        name, _, secret = value.partition(" ")
        self.programs.service.manage(lambda admin: admin.set_apop_secret(name, secret))
        self._secret = secret.encode()

    def _bearer(self, value: str) -> None:
        word, name = value.split()
        service, key = self.programs.service, issuer.ec_key()
        keys = service.daemon.mail.parent / f"keys{next(_numbers)}.json"
        keys.write_bytes(issuer.key_set(key))
        service.change(
            oauth_jwks=str(keys), oauth_issuer=issuer.ISSUER, oauth_audience=issuer.AUDIENCE
        )
        token = issuer.token(key, time.time(), email=name)
        message = f"n,a={name},\1auth=Bearer {token}\1\1"
        self._words[word] = base64.b64encode(message.encode())

    def _vanish(self, value: str) -> None:
        self._mailboxes[self._named][1][int(value) - 1].unlink()

    def _kept(self, value: str) -> None:
        _, files = self._mailboxes[self._named]
        kept = [number for number, path in enumerate(files, 1) if path.exists()]
        if kept != [int(word) for word in value.split()]:
            raise Mismatch(f"kept are {kept}")

    def _compare(self, value: str) -> None:
        left, sign, right = re.split(r" ([<=]) ", value)
        sums = [
            sum(int(self._words.get(word, word)) for word in side.split(" + "))
            for side in (left, right)
        ]
        if not (sums[0] < sums[1] if sign == "<" else sums[0] == sums[1]):
            raise Mismatch(f"{value}: {sums[0]} and {sums[1]}")

    # --- connections --------------------

    def _connect(self, protocol: str, label: str) -> None:
        self._current = label
        if label not in self._connections:
            service, gateway = self.programs.service.daemon, self.programs.gateway
            port = {
                "pop3": service.pop3,
                "pop3s": service.pop3_tls,
                "scmp": gateway.port,
                "scmps": gateway.port_tls,
            }[protocol]
            tls = client_context() if protocol.endswith("s") else None
            self._connections[label] = Pop3(port, timeout=self.timeout_s, tls=tls)

    def _handshake(self, _: str) -> None:
        self._client().secure(client_context())

    def _client(self) -> Pop3:
        if self._current not in self._connections:
            raise Mismatch("there is no connection")
        return self._connections[self._current]

    def _login(self, value: str) -> None:
        if not self._current:
            self._connect("scmp" if self.name.startswith("scmp") else "pop3", "first")
        self._greeted.add(self._current)
        name, password = value.split()
        reply = self._client().log_in(name, password)
        if not reply.startswith("+OK"):
            raise Mismatch(f"no login: {reply}")

    def _send(self, value: str) -> None:
        if "{digest}" in value:
            made = hashlib.md5(self._words["timestamp"] + self._secret)
            self._words["digest"] = made.hexdigest().encode()
        known = re.sub(r"\{(\w+)\}", lambda found: self._words[found[1]].decode(), value)
        self._unsent += octets(known) + b"\r\n"

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent:
            self._client().send(unsent)

    def _expect(self, value: str) -> None:
        client = self._client()
        if self._current in self._greeted:
            came = client.line()
        else:
            self._greeted.add(self._current)
            came = client.greeting
        if not came:
            raise Mismatch(f"expected {value!r}, but the server has closed")
        found = re.fullmatch(self._pattern(value), came, re.DOTALL)
        if not found:
            raise Mismatch(f"expected {value!r}, got {came!r}")
        self._words.update(found.groupdict())

    def _pattern(self, value: str) -> bytes:
        made = b""
        for part in re.split(r"(\*|\{\w+\})", value):
            if part == "*":
                made += b"[^\r\n]*"
            elif not part.startswith("{"):
                made += re.escape(octets(part))
            elif part[1:-1] in self._words:
                made += re.escape(self._words[part[1:-1]])
            elif b"(?P<%s>" % part[1:-1].encode() in made:
                made += b"(?P=%s)" % part[1:-1].encode()
            else:
                made += b"(?P<%s>[^ \r\n]+)" % part[1:-1].encode()
        return made + b"\r\n"

    def _closed(self, _: str) -> None:
        if not self._client().at_end():
            raise Mismatch("the server has not closed")
        self._client().close()
        del self._connections[self._current]

    def _drop(self, _: str) -> None:
        client = self._client()
        host, port = client.socket.getsockname()
        client.close()
        del self._connections[self._current]
        peers = self.programs.service.sessions
        wait_for(lambda: f"{host}:{port}" not in [session.peer for session in peers()])

    def _finish(self) -> None:
        self._flush()
        for label, client in self._connections.items():
            if label not in self._greeted:
                raise Mismatch("the greeting is not in the transcript")
            client.half_close()
            if rest := client.file.read():
                raise Mismatch(f"more came: {rest!r}")
