"""The gateway's secret: read once, again when the file is another, and told of when missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from scmp_gateway.secret import SecretFile


def test_the_secret_is_read_again_only_when_its_file_is_another(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("ab12\n")
    secret = SecretFile(path)
    with structlog.testing.capture_logs() as logs:
        assert [secret.read(), secret.read()] == ["ab12", "ab12"]
        other = tmp_path / "other"
        other.write_text("cd34\n")
        os.replace(other, path)
        assert secret.read() == "cd34"
    assert [it["event"] for it in logs] == ["the gateway's secret was read"] * 2
    assert "cd34" not in f"{logs} {secret!r}"


def test_a_secret_that_goes_is_used_no_more_and_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = SecretFile(path)
    with structlog.testing.capture_logs() as logs:
        assert [secret.read(), secret.read()] == ["", ""]
        path.write_text("ab12\n")
        assert secret.read() == "ab12"
        path.unlink()
        assert [secret.read(), secret.read()] == ["", ""]
    assert [it["log_level"] for it in logs] == ["warning", "info", "warning"]


@pytest.mark.parametrize("content", [b"", b"\n", b"ab 12", b"ab\r\nx: y", b"\xff\xfe", b"ab\0"])
def test_what_is_no_secret_is_not_sent(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert SecretFile(path).read() == ""


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    assert SecretFile(tmp_path).read() == ""
