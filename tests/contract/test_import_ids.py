"""Taking over unique ids over the contract: what is told, what is changed, what is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from contract.service import Service
from pop3_service.maildir.imported import IMPORTED_FILE
from pop3_service.maildir.lock import MaildropLock, lock_key
from pop3_service.maildir.paths import make_folder
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.maildrop_pb2 import (
    ID_SOURCE_COURIER,
    ID_SOURCE_DOVECOT,
    ID_SOURCE_UNSPECIFIED,
    ImportUniqueIdsResponse,
)

LONG = "x" * 71
LIST = f"""3 V9 N30 G0a
1 :1.a
2 P{LONG} :2.b:2,S
3 Ptwice :3.c
4 Ptwice :4.d
5 Pgone :5.gone
broken
7 Psp\xe9cial :7.g
"""


@pytest.fixture
async def ana(service: Service) -> Path:
    """An account whose Maildir came from Dovecot."""
    await service.admin.create_account("ana", "x")
    path = service.folder / "mail/ana"
    for name in ("1.a:2,S", "2.b", "3.c:2,", "4.d", "6.f", "7.g"):
        (path / "cur" / name).write_bytes(b"x" * int(name[0]))
    (path / "dovecot-uidlist").write_text(LIST, "latin-1")
    return path


async def import_ids(caller: Caller, **given: Any) -> ImportUniqueIdsResponse:
    given = {"account_name": "ana", "source": ID_SOURCE_DOVECOT, "uidl_format": "%v.%u", **given}
    return await caller.import_unique_ids(**given)


async def refused(caller: Caller, **given: Any) -> Reason:
    with pytest.raises(ManagementError) as error:
        await import_ids(caller, **given)
    return error.value.reason


async def ids(service: Service) -> list[str]:
    return [it.uidl for it in await service.admin.list_messages("ana")]


OWN = ["1.a", "2.b", "3.c", "4.d", "6.f", "7.g"]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_each_message_is_told_and_a_dry_run_changes_nothing(
    service: Service, ana: Path, dry_run: bool
) -> None:
    before = sorted(os.listdir(ana))
    told = await import_ids(service.admin, dry_run=dry_run)
    assert told.source_found
    assert (told.all.message_count, told.all.size_bytes) == (6, 1 + 2 + 3 + 4 + 6 + 7 + 6 * 2)
    assert (told.kept.message_count, told.kept.size_bytes) == (1, 3)
    assert (told.changed.message_count, told.changed.size_bytes) == (1, 3)
    assert (told.refused.message_count, told.refused.size_bytes) == (4, 2 + 3 + 4 + 7 + 4 * 2)
    assert (told.missing.message_count, told.missing.size_bytes) == (1, 8)
    assert (told.gone_count, told.broken_line_count) == (1, 1)
    problems = " ".join(told.problems)
    assert f"'2.b': '{LONG}' is not 1 to 70 visible ASCII characters" in told.problems
    assert "'3.c': twice is the id of 2 messages" in told.problems
    assert "'4.d': twice is the id of 2 messages" in told.problems
    assert "'7.g'" in problems
    assert await ids(service) == (OWN if dry_run else ["9.1", *OWN[1:]])
    if dry_run:
        assert sorted(os.listdir(ana)) == before


async def test_a_second_import_keeps_what_the_first_gave_unless_it_says_otherwise(
    service: Service, ana: Path
) -> None:
    await import_ids(service.admin)
    (ana / "dovecot-uidlist").write_text("3 V9 N30\n6 :6.f\n")
    again = await import_ids(service.admin)
    assert (again.kept.message_count, again.missing.message_count) == (1, 5)
    assert await ids(service) == ["9.1", "2.b", "3.c", "4.d", "9.6", "7.g"]
    (ana / "dovecot-uidlist").write_text("3 V10 N30\n1 :1.a\n8 P9.6 :2.b\n")
    await import_ids(service.admin)
    # An id is one message's: what the old server gave goes before what was kept.
    assert await ids(service) == ["10.1", "9.6", "3.c", "4.d", "6.f", "7.g"]
    (ana / "cur/1.a:2,S").unlink()
    (ana / "dovecot-uidlist").write_text("3 V9 N30\n2 P2.b :2.b\n")
    await import_ids(service.admin)
    assert await ids(service) == OWN[1:]


async def test_couriers_ids_are_taken_over(service: Service, ana: Path) -> None:
    (ana / "courierpop3dsizelist").write_text("/3 9 77\n1.a:2,S 3 1:77:0\n2.b 4 2:76:0\n")
    told = await import_ids(service.admin, source=ID_SOURCE_COURIER, uidl_format="")
    assert told.kept.message_count == 2
    assert (await ids(service))[:2] == ["UID1-77", "UID2-76"]


async def test_a_maildir_without_the_servers_file_is_told_as_such(
    service: Service, ana: Path
) -> None:
    told = await import_ids(service.admin, source=ID_SOURCE_COURIER, uidl_format="")
    assert not told.source_found
    assert (told.all.message_count, told.missing.message_count) == (6, 6)
    assert await ids(service) == OWN


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_maildir_that_moved_without_its_empty_folders_is_imported(
    service: Service, ana: Path, dry_run: bool
) -> None:
    for folder in ("new", "tmp"):
        (ana / folder).rmdir()
    told = await import_ids(service.admin, dry_run=dry_run)
    assert (told.all.message_count, told.kept.message_count) == (6, 1)
    assert await ids(service) == (OWN if dry_run else ["9.1", *OWN[1:]])


async def test_an_account_without_mail_has_nothing_to_import(service: Service) -> None:
    told = await import_ids(service.admin, account_name="default")
    assert (told.source_found, told.all.message_count) == (False, 0)


async def test_a_session_keeps_its_ids_until_it_ends(service: Service, ana: Path) -> None:
    lock = MaildropLock(service.folder / "mail")
    lock.acquire(lock_key(("ana",)))
    assert await refused(service.admin) is Reason.MAILDROP_IN_USE
    assert (await import_ids(service.admin, dry_run=True)).kept.message_count == 1
    lock.close()
    assert (await import_ids(service.admin)).kept.message_count == 1


@pytest.mark.parametrize(
    "given",
    [
        {"uidl_format": "%m"},
        {"uidl_format": "%q"},
        {"uidl_format": "always the same"},
        {"source": ID_SOURCE_UNSPECIFIED},
        {"source": 99},
        {"source": ID_SOURCE_COURIER},
    ],
)
async def test_what_cannot_be_meant_is_refused_with_and_without_a_file(
    service: Service, ana: Path, given: dict[str, Any]
) -> None:
    assert await refused(service.admin, **given) is Reason.INVALID_ARGUMENT
    (ana / "dovecot-uidlist").unlink()
    assert await refused(service.admin, **given, dry_run=True) is Reason.INVALID_ARGUMENT


@pytest.mark.parametrize("kind", ["garbage", "empty", "fifo", "folder"])
async def test_a_file_that_is_no_list_changes_nothing(
    service: Service, ana: Path, kind: str
) -> None:
    path = ana / "dovecot-uidlist"
    path.unlink()
    match kind:
        case "garbage":
            path.write_bytes(os.urandom(5000))
        case "empty":
            path.write_bytes(b"")
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    assert await refused(service.admin) is Reason.INVALID_ARGUMENT
    assert await ids(service) == OWN


async def test_a_link_out_of_the_maildir_is_not_followed(service: Service, ana: Path) -> None:
    other = service.folder / "mail/other"
    make_folder(service.folder / "mail", ("other",))
    (ana / "dovecot-uidlist").rename(other / "dovecot-uidlist")
    (ana / "dovecot-uidlist").symlink_to(other / "dovecot-uidlist")
    assert await refused(service.admin) is Reason.MAILDROP_UNAVAILABLE


async def test_damaged_ids_of_an_earlier_import_are_told_and_left(
    service: Service, ana: Path
) -> None:
    (ana / IMPORTED_FILE).write_bytes(b"damaged")
    assert await refused(service.admin) is Reason.MAILDROP_DAMAGED
    assert (ana / IMPORTED_FILE).read_bytes() == b"damaged"
    with pytest.raises(ManagementError) as error:
        await service.admin.list_messages("ana")
    assert error.value.reason is Reason.MAILDROP_DAMAGED


async def test_only_an_admin_imports_and_only_for_an_account(service: Service) -> None:
    eva = await service.user("eva")
    assert await refused(eva, account_name="eva") is Reason.PERMISSION_DENIED
    assert await refused(service.admin, account_name="nobody") is Reason.ACCOUNT_NOT_FOUND
    assert await refused(service.admin, account_name="") is Reason.ACCOUNT_NOT_FOUND
