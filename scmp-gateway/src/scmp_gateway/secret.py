"""The secret that proves the gateway to the service. The service makes its file."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

log = structlog.get_logger()


class SecretFile:
    """Gives the secret, and reads it again when its file is another one.

    Without one the gateway passes nobody on: to the service all clients are the gateway then.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, int, int] | None = None
        self._secret = ""
        self._trouble = ""

    def __repr__(self) -> str:
        return f"SecretFile({self._path})"

    def read(self) -> str:
        """Give the secret; empty while there is none to be read, which the log tells once."""
        try:
            told = os.stat(self._path)
            now = (told.st_ino, told.st_mtime_ns, told.st_size)
            if now != self._known:
                self._secret = self._content()
                self._known, self._trouble = now, ""
                log.info("the gateway's secret was read", file=str(self._path))
        except (OSError, ValueError) as error:
            self._known, self._secret = None, ""
            self._tell(error.strerror or "unreadable" if isinstance(error, OSError) else str(error))
        return self._secret

    def _content(self) -> str:
        with open(self._path, encoding="ascii", errors="replace") as file:
            text = file.read(1024).strip()
        if not text or not text.isascii() or not text.isalnum():
            raise ValueError("no secret in it")
        return text

    def _tell(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning(
                "no secret: the service takes all clients for the gateway itself",
                file=str(self._path),
                reason=trouble,
            )
