"""What the stub says: one dialogue, a table of commands, and the faults among them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from conformance.stub import letters, login
from conformance.stub.drop import Drop

if TYPE_CHECKING:
    from conformance.stub.server import Stub, Wire

COMMANDS = login.COMMANDS | letters.COMMANDS
BEFORE = {"USER", "PASS", "APOP", "AUTH", "STLS", "UTF8", "CAPA", "LANG", "QUIT"}
AFTER = {"STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP", "CAPA", "LANG", "QUIT"}
COUNTS = {
    "STAT": (0, 0), "RSET": (0, 0), "NOOP": (0, 0), "CAPA": (0, 0), "QUIT": (0, 0),
    "STLS": (0, 0), "UTF8": (0, 0), "RETR": (1, 1), "DELE": (1, 1), "TOP": (2, 2),
    "LIST": (0, 1), "UIDL": (0, 1), "APOP": (2, 2), "AUTH": (0, 2), "LANG": (0, 1),
}  # fmt: skip
"""How many arguments each takes; USER and PASS take the rest of the line."""


class Talk:
    """One connection's dialogue."""

    def __init__(self, stub: Stub, wire: Wire) -> None:
        self.stub, self.wire = stub, wire
        self.wrong = stub.wrong
        self.finished = False
        self.drop: Drop | None = None
        self.name: bytes | None = None
        self.utf8 = self.was_reset = self.busy = self.busy_before = False
        self.language = "en"
        self.late = False
        number = 1 if self.wrong("APOP's timestamp is always the same") else next(stub.sessions)
        self.session = next(stub.sessions)
        self.timestamp = f"<{number}.1@stub.test>"

    # --- replies --------------------

    def reply(self, text: str) -> None:
        """One line."""
        end = "\n" if self.wrong("replies end with LF") else "\r\n"
        self.wire.send((text + end).encode("utf-8", "surrogateescape"))

    def ok(self, text: str = "done") -> None:
        """A positive reply."""
        self.reply(f"+OK {text}")

    def err(self, text: str, code: str = "") -> None:
        """A negative reply."""
        mark = (
            "!" if self.wrong("LANG does not keep the protocol") and self.language == "es" else "-"
        )
        self.reply(f"{mark}ERR [{code}] {text}" if code else f"{mark}ERR {text}")

    def listing(self, lines: list[str]) -> None:
        """A multi-line reply."""
        self.ok("they follow")
        for line in lines:
            self.reply(line)
        self.reply(".")

    def refuse_login(self, known: bool) -> None:
        """Refuse wrong credentials."""
        text = "wrong password" if known or not self.wrong("unknown users are told") else "nobody"
        missing = "no AUTH for a wrong password" if known else "no AUTH for an unknown user"
        self.err(text, "" if self.wrong(missing) else "AUTH")

    # --- lines --------------------

    def greet(self) -> None:
        """The greeting."""
        if self.wrong("the greeting is not positive"):
            self.reply(f"-ERR stub {self.timestamp}")
        else:
            self.ok(f"stub {self.timestamp}")

    def answer(self, line: bytes) -> None:
        """Answer a line."""
        if self.wrong("NUL ends a line"):
            line = line.partition(b"\0")[0]
        if self.wrong("blanks before a command are left out"):
            line = line.lstrip()
        if self.wrong("8-bit octets are left out of commands"):
            line = bytes(it for it in line if it < 128)
        if not line and self.wrong("empty lines are passed over"):
            return
        text = line.decode("utf-8", "surrogateescape")
        keyword, _, rest = text.partition(" ")
        if not self.wrong("keywords depend on case"):
            keyword = keyword.upper()
        if self.wrong("keywords may be longer") and len(keyword) > 4:
            keyword = keyword[:4]
        self._obey(keyword, rest)

    def bare(self) -> bool:
        """Whether nobody is in, and this is not how every check leaves."""
        return self.drop is None and not self.was_reset

    def _obey(self, keyword: str, rest: str) -> None:
        allowed = AFTER if self.drop else BEFORE
        if self.wrong("NOOP before login"):
            allowed = allowed | {"NOOP"}
        if self.wrong("USER after login"):
            allowed = allowed | {"USER"}
        if self.wrong("STLS after login"):
            allowed = allowed | {"STLS"}
        if self.wrong("AUTH after login"):
            allowed = allowed | {"AUTH"}
        if self.wrong("UTF8 after login"):
            allowed = allowed | {"UTF8"}
        self.was_reset = self.was_reset or keyword == "RSET"
        if keyword not in allowed:
            self._unknown(keyword, rest)
            return
        words = rest.split()
        if keyword in ("USER", "PASS"):
            words = [rest] if rest or self.wrong("USER needs no name") else []
        least, most = COUNTS.get(keyword, (1, 1))
        if self.wrong("more arguments are passed over"):
            words = words[:most]
        if self.wrong("RETR needs no number") and keyword == "RETR":
            words = words or ["1"]
        if not least <= len(words) <= most:
            self.err("wrong arguments")
            return
        self.busy_before, self.busy = self.busy, self.drop is not None
        COMMANDS[keyword](self, words)

    def _unknown(self, keyword: str, rest: str) -> None:
        if self.drop and self.wrong("unknown commands are accepted"):
            self.ok()
        elif self.wrong("controls are echoed"):
            self.err(f"what is {keyword} {rest}"[:200])
        elif self.wrong("long replies") and len(keyword) > 200:
            self.err("what is " + keyword * 3)
        elif self.wrong("a code is no code"):
            self.err("[not a code] unknown")
        else:
            self.err("orden desconocida" if self.language == "es" else "unknown command")

    def ended(self) -> None:
        """The connection is gone."""
        if self.drop and self.wrong("a drop deletes"):
            self.drop.commit()
        if self.drop and self.late:
            self.wire.wait_for_end()
            self.drop.commit()
            return
        if self.drop:
            self.stub.locked = False
            if self.wrong("a drop keeps the lock") and not self.busy:
                self.stub.refuse_until = time.monotonic() + 9

    # --- login --------------------

    def enter(self) -> None:
        """Lock the maildrop and go into TRANSACTION state."""
        if time.monotonic() < self.stub.refuse_until:
            self.err("in use", "IN-USE")
            return
        if self.stub.locked and not self.wrong("second sessions are let in"):
            code = "AUTH" if self.wrong("a lock is AUTH") else "IN-USE"
            self.err("in use", "" if self.wrong("no IN-USE") else code)
            return
        try:
            self.drop = Drop(self.stub, self.session)
        except OSError:
            self.err("no", "SYS/TEMP")
            return
        self.stub.locked = True
        self.ok("you are in")
