"""A backup's file: a plain tar of a manifest, the files, and their SHA-256 sums at the end.

``tar -x`` and ``sha256sum -c SHA256SUMS`` read it too. What is read is strict: only what ``pack``
writes is taken, so that no header can ask for more than it is worth.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

FORMAT = 1
MANIFEST, SUMS = "manifest.json", "SHA256SUMS"
BLOCK, CHUNK = 512, 256 * 1024
MAX_FILES, MAX_TEXT = 16, 64 * 1024
MAX_OCTETS = 8**11 - 1
"""A file's octets: what the header of a plain tar can say."""
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class BadBackup(Exception):
    """The file is no whole backup; the text says why."""


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A file in a backup: its name, octets and SHA-256 in hexadecimal digits."""

    name: str
    octets: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is of. ``schema`` is the revision of the accounts' database."""

    version: str
    create_time: datetime
    schema: str
    account_count: int
    files: tuple[BackedUp, ...]

    @property
    def octets(self) -> int:
        """The octets of all its files."""
        return sum(file.octets for file in self.files)

    def encode(self) -> bytes:
        """Give it as JSON."""
        facts = {"format": FORMAT, **asdict(self), "create_time": self.create_time.isoformat()}
        return json.dumps(facts, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, octets: bytes) -> Manifest:
        """Read it.

        Raises:
            BadBackup
        """
        try:
            facts = json.loads(octets)
            if facts["format"] != FORMAT:
                raise BadBackup("it was made by a newer version")
            files = tuple(BackedUp(**it) for it in facts["files"])
            made = cls(
                _text(facts["version"]),
                datetime.fromisoformat(facts["create_time"]),
                _text(facts["schema"]),
                int(facts["account_count"]),
                files,
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise BadBackup("its manifest cannot be read") from None
        names = [file.name for file in files]
        whole = all(
            isinstance(it.name, str)
            and NAME.fullmatch(it.name)
            and isinstance(it.octets, int)
            and 0 <= it.octets <= MAX_OCTETS
            for it in files
        )
        if not whole or len(set(names)) < len(names) or not 0 < len(names) <= MAX_FILES:
            raise BadBackup("its manifest cannot be read")
        return made


def backed_up(path: Path) -> BackedUp:
    """Tell of a file what a manifest says.

    Raises:
        OSError
    """
    with path.open("rb") as file:
        return BackedUp(path.name, os.fstat(file.fileno()).st_size, _sum(file))


def pack(manifest: Manifest, folder: Path) -> Iterator[bytes]:
    """Give a backup of the manifest's files, which are in a folder, piece by piece.

    Raises:
        OSError
        BadBackup: a file is not as the manifest says.
    """
    head = manifest.encode()
    yield _header(manifest, MANIFEST, len(head)) + _padded(head)
    for entry in manifest.files:
        yield _header(manifest, entry.name, entry.octets)
        digest, left = hashlib.sha256(), entry.octets
        with (folder / entry.name).open("rb") as file:
            while piece := file.read(CHUNK):
                left -= len(piece)
                digest.update(piece)
                yield piece
        if left or digest.hexdigest() != entry.sha256:
            raise BadBackup(f"{entry.name} changed while it was read")
        yield bytes(-entry.octets % BLOCK)
    sums = [(hashlib.sha256(head).hexdigest(), MANIFEST)]
    sums += [(it.sha256, it.name) for it in manifest.files]
    text = "".join(f"{digest}  {name}\n" for digest, name in sums).encode()
    yield _header(manifest, SUMS, len(text)) + _padded(text) + bytes(2 * BLOCK)


def read_manifest(source: BinaryIO) -> Manifest:
    """Read a backup's manifest, which comes first; nothing is known of the rest then.

    Raises:
        BadBackup, OSError
    """
    return Manifest.decode(_member(source, MANIFEST))


def unpack(source: BinaryIO, into: Callable[[str], BinaryIO | None]) -> Manifest:
    """Read a backup to its end; ``into`` opens what a file of that name is written to, if anything.

    What was written counts only once this has come back.

    Raises:
        BadBackup: it is not whole, or not as it was made.
        OSError
    """
    head = _member(source, MANIFEST)
    manifest = Manifest.decode(head)
    sums = f"{hashlib.sha256(head).hexdigest()}  {MANIFEST}\n"
    for entry in manifest.files:
        if _next(source, entry.name) != entry.octets:
            raise BadBackup(f"{entry.name} is not of the length that the manifest says")
        target = into(entry.name)
        try:
            digest = _copied(source, entry.octets, target)
        finally:
            if target is not None:
                target.close()
        if digest != entry.sha256:
            raise BadBackup(f"{entry.name} is not as it was when the backup was made")
        sums += f"{digest}  {entry.name}\n"
    if _member(source, SUMS) != sums.encode():
        raise BadBackup("its sums are not those of its files")
    if source.read(BLOCK).strip(b"\0"):
        raise BadBackup("there is more than a backup in it")
    return manifest


def _copied(source: BinaryIO, octets: int, target: BinaryIO | None) -> str:
    digest, left = hashlib.sha256(), octets
    while left:
        piece = source.read(min(CHUNK, left))
        if not piece:
            raise BadBackup("it is cut off")
        left -= len(piece)
        digest.update(piece)
        if target is not None:
            target.write(piece)
    _exactly(source, -octets % BLOCK)
    return digest.hexdigest()


def _member(source: BinaryIO, name: str) -> bytes:
    octets = _next(source, name)
    if not 0 <= octets <= MAX_TEXT:
        raise BadBackup(f"{name} is too long")
    text = _exactly(source, octets)
    _exactly(source, -octets % BLOCK)
    return text


def _next(source: BinaryIO, name: str) -> int:
    """Read a header, which must be a plain file's of that name; give its octets."""
    header = _exactly(source, BLOCK)
    try:
        # Of what this reads, a header alone cannot make it read or allocate anything more.
        info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
    except (tarfile.TarError, ValueError):
        raise BadBackup("it is no backup" if name == MANIFEST else "it is damaged") from None
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or info.name != name:
        raise BadBackup(f"{name} is missing")
    return info.size


def _exactly(source: BinaryIO, octets: int) -> bytes:
    found = source.read(octets)
    if len(found) < octets:
        raise BadBackup("it is cut off" if found or octets < BLOCK else "it ends too soon")
    return found


def _header(manifest: Manifest, name: str, octets: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = octets, 0o600
    info.mtime = int(manifest.create_time.timestamp())
    return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % BLOCK)


def _sum(file: BinaryIO) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 64:
        raise ValueError
    return value
