"""Keys in files of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from pop3_service.supervisor.key_file import BadKey, load_key


def test_a_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = load_key(path)
    assert len(made) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path) == load_key(path, for_group=True) == made


@pytest.mark.parametrize(
    ("mode", "for_group", "fits"),
    [
        (0o400, False, True), (0o640, False, False), (0o640, True, True), (0o440, True, True),
        (0o660, True, False), (0o644, True, False), (0o604, False, False),
    ],
)  # fmt: skip
def test_a_key_that_others_may_read_is_refused(
    tmp_path: Path, mode: int, for_group: bool, fits: bool
) -> None:
    path = tmp_path / "key"
    made = load_key(path)
    path.chmod(mode)
    if fits:
        assert load_key(path, for_group=for_group) == made
        return
    with pytest.raises(BadKey, match=r"make it 06[04]0"):
        load_key(path, for_group=for_group)
