"""A backup's file: what is read is what was written, or nothing."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pop3mgmt.backup_file import (
    BLOCK,
    MANIFEST,
    BackedUp,
    BadBackup,
    Manifest,
    backed_up,
    pack,
    read_manifest,
    unpack,
)

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CONTENTS = {"apop.key": b"k" * 65, "empty": b"", "valija.db": random.Random(1).randbytes(300_000)}


class Kept(io.BytesIO):
    """A file that keeps its octets when it is closed."""

    octets = b""

    def close(self) -> None:
        self.octets = self.octets or self.getvalue()
        super().close()


def packed(folder: Path, contents: dict[str, bytes] = CONTENTS) -> bytes:
    for name, octets in contents.items():
        (folder / name).write_bytes(octets)
    files = tuple(backed_up(folder / name) for name in contents)
    return b"".join(pack(Manifest("1.2", TIME, "0007", 12, files), folder))


def unpacked(octets: bytes) -> tuple[Manifest, dict[str, bytes]]:
    found: dict[str, Kept] = {}
    manifest = unpack(io.BytesIO(octets), lambda name: found.setdefault(name, Kept()))
    return manifest, {name: it.octets for name, it in found.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return packed(tmp_path_factory.mktemp("backup"))


def test_what_was_written_is_read(whole: bytes) -> None:
    manifest, contents = unpacked(whole)
    assert contents == CONTENTS
    assert (manifest.version, manifest.create_time, manifest.schema) == ("1.2", TIME, "0007")
    assert manifest.account_count == 12
    assert [it.name for it in manifest.files] == list(CONTENTS)
    assert manifest.octets == sum(map(len, CONTENTS.values()))
    assert read_manifest(io.BytesIO(whole)) == manifest


def test_tar_and_sha256sum_read_it_too(whole: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.tar").write_bytes(whole)
    subprocess.run(["tar", "-xf", "it.tar"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert (tmp_path / "valija.db").read_bytes() == CONTENTS["valija.db"]
    assert (tmp_path / "valija.db").stat().st_mode & 0o777 == 0o600


def test_no_part_of_it_is_a_backup(whole: bytes) -> None:
    ends = {*range(0, len(whole) - 2 * BLOCK, 997), 1, BLOCK, BLOCK + 1, len(whole) - 2 * BLOCK - 1}
    for end in sorted(ends):
        with pytest.raises(BadBackup):
            unpacked(whole[:end])


@settings(max_examples=300)
@given(st.data())
def test_an_octet_that_is_another_is_found(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 2 * BLOCK - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda it: it != whole[at]))
    changed = whole[:at] + bytes([octet]) + whole[at + 1 :]
    try:
        manifest, contents = unpacked(changed)
    except BadBackup:
        return
    # What means nothing may be another: the padding, a header's owner or time.
    assert contents == CONTENTS
    assert manifest == unpacked(whole)[0]


def test_more_behind_it_is_refused(whole: bytes) -> None:
    with pytest.raises(BadBackup, match="more than a backup"):
        unpacked(whole[: -2 * BLOCK] + whole)


def forged(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, octets in members:
            archive.addfile(info, io.BytesIO(octets))
    return file.getvalue()


def member(
    name: str, octets: bytes, kind: bytes = tarfile.REGTYPE
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(octets), kind, "/etc/passwd"
    return info, octets


@pytest.mark.parametrize(
    "name", ["../valija.db", "/etc/passwd", "a/b", "", ".hidden", "x" * 64, "UPPER", "a\n"]
)
def test_a_manifest_names_no_paths(name: str) -> None:
    entry = BackedUp(name, 1, hashlib.sha256(b"x").hexdigest())
    head = Manifest("1", TIME, "0001", 1, (entry,)).encode()
    with pytest.raises(BadBackup, match="its manifest cannot be read"):
        unpacked(forged([member(MANIFEST, head), member(name or "x", b"x")]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, b"S"])
def test_a_member_that_is_no_plain_file_is_refused(kind: bytes) -> None:
    entry = BackedUp("valija.db", 0, hashlib.sha256(b"").hexdigest())
    head = Manifest("1", TIME, "0001", 1, (entry,)).encode()
    with pytest.raises(BadBackup, match=r"valija.db is missing|damaged"):
        unpacked(forged([member(MANIFEST, head), member("valija.db", b"", kind)]))


def test_a_long_header_is_not_read_into_memory() -> None:
    """A header of another kind can say that gibibytes of it follow."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(BadBackup, match=r"manifest\.json is missing"):
        unpacked(header + bytes(1024))
    info = tarfile.TarInfo(MANIFEST)
    for octets in (-5, 1 << 40):
        info.size = octets
        with pytest.raises(BadBackup, match="too long"):
            unpacked(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b'{"format": 2}',
        b"[" * 60_000,
        b'{"format": 1, "version": 1, "create_time": "x", "schema": "", "account_count": 1,'
        b' "files": []}',
        b'{"format": 1, "version": "1", "create_time": "2026-01-01T00:00:00+00:00", "schema": "",'
        b' "account_count": 1, "files": [{"name": "a", "octets": -1, "sha256": ""}]}',
        b'{"format": 1, "version": "1", "create_time": "2026-01-01T00:00:00+00:00", "schema": "",'
        b' "account_count": 1, "files": [{"name": ["a"], "octets": 1, "sha256": ""}]}',
        b"\xff\xfe",
    ],
)
def test_a_manifest_that_is_none_is_refused(head: bytes) -> None:
    with pytest.raises(BadBackup, match=r"manifest cannot be read|newer version"):
        unpacked(forged([member(MANIFEST, head)]))


def test_what_is_no_tar_is_no_backup() -> None:
    for octets in (b"", b"SQLite format 3\0" + bytes(5000), b"\x1f\x8b" * 1000):
        with pytest.raises(BadBackup, match=r"no backup|cut off|ends too soon"):
            unpacked(octets)


def test_a_file_that_changes_while_it_is_packed_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    manifest = Manifest("1", TIME, "1", 1, (backed_up(tmp_path / "a"),))
    (tmp_path / "a").write_bytes(b"behind")
    with pytest.raises(BadBackup, match="a changed while it was read"):
        b"".join(pack(manifest, tmp_path))
