"""Where an account's mail is: templates, names that try to leave, and links in the way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import InvalidArgument, MaildropUnavailable, MaildropUnusable
from pop3_service.maildir.paths import MailPaths, make_folder, open_folder

TEMPLATES = ["{user}", "{domain}/{local}/Maildir", "{local}", "mail-of-{user}/here"]


@pytest.mark.parametrize(
    ("template", "name", "path"),
    [
        ("{user}", "ana", "ana"),
        ("{user}", "ana@example.org", "ana@example.org"),
        ("{domain}/{local}/Maildir", "ana@example.org", "example.org/ana/Maildir"),
        ("{domain}/{local}", "a@b@example.org", "example.org/a@b"),
        ("{local}", "ana", "ana"),
        ("x/{user}/y", "ana", "x/ana/y"),
        ("{user}", "{domain}", "{domain}"),
    ],
)
def test_a_template_is_expanded_by_the_name(template: str, name: str, path: str) -> None:
    assert "/".join(MailPaths(Path("/m"), template).parts(AccountName.parse(name))) == path


@pytest.mark.parametrize(
    "template",
    ["", "x", "{name}", "{user", "/{user}", "../{user}", "{user}/..", "a//{user}", "{user}/",
     ".mail/{user}", "./{user}", "{user}/{}", "x" * 256 + "{user}", "{user}\0"],
)  # fmt: skip
def test_a_template_that_leads_outside_or_nowhere_is_refused(template: str) -> None:
    with pytest.raises(InvalidArgument, match="mail path"):
        MailPaths(Path("/m"), template)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{domain}/{local}", "ana"),
        ("{domain}/{local}", "ana@"),
        ("{domain}/{local}", "@example.org"),
        ("{domain}/{local}", "ana@.."),
        ("{domain}/{local}", "ana@.hidden"),
        ("mail-of-{user}", "x" * 250),
    ],
)
def test_a_name_whose_path_is_not_safe_is_refused(template: str, name: str) -> None:
    with pytest.raises(InvalidArgument, match="account name"):
        MailPaths(Path("/m"), template).parts(AccountName.parse(name))


@pytest.mark.attack(28, "paths")
@given(st.text(st.sampled_from("a./\\@{}~\0\u2026\uff0e"), max_size=8), st.sampled_from(TEMPLATES))
def test_no_name_leads_outside(text: str, template: str) -> None:
    try:
        name = AccountName.parse(text)
        parts = MailPaths(Path("/m"), template).parts(name)
    except InvalidArgument:
        return
    path = Path("/m", *parts)
    assert Path(os.path.normpath(path)) == path
    assert path.is_relative_to("/m/")
    assert len(path.parts) == 2 + len(parts)


def test_two_names_have_two_paths_unless_the_template_makes_them_one() -> None:
    paths = MailPaths(Path("/m"), "{domain}/{local}")
    names = ["a@b", "b@a", "a@b@b", "a@b.b"]
    assert len({paths.parts(AccountName.parse(name)) for name in names}) == len(names)


def test_a_folder_is_made_whole_and_made_again_without_harm(tmp_path: Path) -> None:
    parts = ("example.org", "ana", "Maildir")
    make_folder(tmp_path, parts)
    mail = tmp_path.joinpath(*parts, "new/1.a")
    mail.write_bytes(b"x")
    make_folder(tmp_path, parts)
    assert mail.read_bytes() == b"x"
    os.close(open_folder(tmp_path, parts))


@pytest.mark.parametrize("where", ["example.org", "example.org/ana"])
def test_a_link_on_the_way_is_not_followed(tmp_path: Path, where: str) -> None:
    outside = tmp_path / "outside"
    make_folder(tmp_path, ("outside", "ana"))
    root = tmp_path / "root"
    link = root / where
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(MaildropUnusable):
        make_folder(root, ("example.org", "ana"))
    assert sorted(path.name for path in outside.iterdir()) == ["ana"]


def test_a_root_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(MaildropUnavailable):
        make_folder(tmp_path / "nowhere", ("ana",))
