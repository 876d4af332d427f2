"""The token that a login leaves behind: one private file a target, replaced as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from urllib.parse import quote

import click

from admin_cli.errors import LOG_IN, Refused
from pop3mgmt.reasons import Reason


@dataclass(frozen=True, slots=True)
class Token:
    """A login. Without times, as from a script, it is used as it is and never renewed."""

    text: str = field(repr=False)
    name: str = ""
    expire_time: datetime | None = None
    renew_time: datetime | None = None

    @classmethod
    def fresh(cls, text: str, name: str, expire_time: datetime | None) -> Self:
        """Make a token of now; it is to be renewed once half of its life is over."""
        now = datetime.now(UTC)
        renew_time = None if expire_time is None else now + (expire_time - now) / 2
        return cls(text, name, expire_time, renew_time)

    @property
    def expired(self) -> bool:
        """True once the service will not take it any more."""
        return self.expire_time is not None and datetime.now(UTC) >= self.expire_time

    @property
    def renewal_due(self) -> bool:
        """True once half of its life is over."""
        return self.renew_time is not None and datetime.now(UTC) >= self.renew_time


def token_file(target: str) -> Path:
    """Name the file for a target, in the user's state directory (XDG base directories)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification has a relative path ignored.
    root = Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state"
    return root / "valija" / f"{quote(target, safe='')}.token"


def load(path: Path) -> Token | None:
    """Read a token; None when there is none or it has expired. A bare token is one line.

    Raises:
        Refused: the file is damaged.
        click.UsageError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _damaged(path) from None
    token = _parse(path, text) if text.startswith("{") else Token(text)
    return None if token.expired or not token.text else token


def save(path: Path, token: Token) -> None:
    """Write a token so that only its owner can read it, and never half of it.

    Raises:
        OSError: the file cannot be written.
    """
    import tempfile

    facts = {
        "name": token.name,
        "token": token.text,
        "expire_time": token.expire_time and token.expire_time.isoformat(),
        "renew_time": token.renew_time and token.renew_time.isoformat(),
    }
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".token-")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def forget(path: Path) -> None:
    """Remove a token; one that is not there is forgotten already."""
    path.unlink(missing_ok=True)


def _parse(path: Path, text: str) -> Token:
    try:
        facts = json.loads(text)
        return Token(
            str(facts["token"]),
            str(facts["name"]),
            _time(facts["expire_time"]),
            _time(facts["renew_time"]),
        )
    except (ValueError, KeyError, TypeError):
        raise _damaged(path) from None


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _damaged(path: Path) -> Refused:
    return Refused(Reason.INVALID_CREDENTIALS, f"the token file {path} is damaged", LOG_IN)
