"""An empty database for those who test what is done with one, and not how it is made.

The migrations make it once in a process; all others are copies of its octets.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from pop3_service.storage import opening
from pop3_service.storage.store import FILE, Store


def provide(folder: Path) -> None:
    """Put one into a data folder, which is made, if none is there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (folder / FILE).exists():
        (folder / FILE).touch(0o600)
        (folder / FILE).write_bytes(_empty())


async def opened(folder: Path) -> Store:
    """Open one in a folder that may have none."""
    provide(folder)
    return await Store.open(folder)


@functools.cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        opening.make(path)
        return path.read_bytes()
