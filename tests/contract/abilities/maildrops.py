"""What is done with maildrops."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply, World
from pop3_service.domain.rights import Right
from pop3mgmt.client import Caller
from pop3mgmt.v1.maildrop_pb2 import ID_SOURCE_DOVECOT

LETTER = "Subject: dots\r\n\r\n.\r\n..two\r\nend\r\n"


async def _mail(world: World) -> Facts:
    uidls = await world.put("ana", LETTER, "Subject: two\r\n\r\n")
    return {"uidl": uidls[0]}


async def _moved(world: World) -> Facts:
    await world.put("ana", LETTER)
    folder = world.folder / "mail" / "ana"
    [message] = (folder / "new").iterdir()
    (folder / "dovecot-uidlist").write_text(f"3 V9 N2 G0a\n1 Pold-id :{message.name}\n")
    return {}


async def _list(caller: Caller, _: Facts) -> Any:
    return await caller.list_messages("ana")


async def _list_own(caller: Caller, _: Facts) -> Any:
    return await caller.list_messages()


async def _get(caller: Caller, facts: Facts) -> Any:
    return b"".join([chunk async for chunk in caller.get_message(facts["uidl"], "ana")])


async def _get_own(caller: Caller, facts: Facts) -> Any:
    return b"".join([chunk async for chunk in caller.get_message(facts["uidl"])])


async def _put(caller: Caller, _: Facts) -> Any:
    return await caller.put_message("ana", [LETTER.encode()])


async def _import(caller: Caller, _: Facts) -> Any:
    return await caller.import_unique_ids("ana", ID_SOURCE_DOVECOT)


def _row(line: str) -> tuple[Any, ...]:
    number, _, size, delivered = line.split()
    return int(number), int(size), _is_now(delivered.removeprefix("delivered="))


def _is_now(moment: str) -> bool:
    return abs((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()) < 3600


MESSAGES = Answers(
    lambda them: [
        (it.number, it.size_bytes, _is_now(it.deliver_time.ToDatetime(UTC).isoformat()))
        for it in them
    ],
    lambda reply: [_row(line) for line in reply.listing],
    lambda records: [
        (it["number"], it["size_bytes"], _is_now(it["deliver_time"])) for it in records
    ],
)


def _octets(reply: Reply) -> bytes:
    return "".join(f"{line}\r\n" for line in reply.listing).encode()


MESSAGE = Answers(
    lambda octets: octets,
    _octets,
    lambda record: base64.b64decode(record["content_base64"]),
)

KEPT = Answers(
    lambda result: result.kept.message_count,
    lambda reply: int(reply.line.split()[1]),
    lambda record: record["total"]["kept"]["message_count"],
)

ABILITIES = [
    Ability(
        "MaildropService/PutMessage",
        _put,
        "",
        ("maildrop", "put", "ana"),
        Answers(
            lambda stored: stored.stored_bytes,
            lambda reply: None,
            lambda record: record["stored_bytes"],
        ),
        stdin=LETTER,
    ),
    Ability(
        "MaildropService/ListMessages",
        _list,
        "MAIL ana",
        ("maildrop", "list", "ana"),
        MESSAGES,
        prepare=_mail,
    ),
    Ability(
        "MaildropService/ListMessages",
        _list_own,
        "MAIL",
        ("maildrop", "list"),
        MESSAGES,
        prepare=_mail,
        own=True,
        what="of the own account",
    ),
    Ability(
        "MaildropService/GetMessage",
        _get,
        "SHOW_MAIL {uidl} ana",
        ("maildrop", "show", "ana", "{uidl}"),
        MESSAGE,
        prepare=_mail,
    ),
    Ability(
        "MaildropService/GetMessage",
        _get,
        "SHOW_MAIL {uidl} ana",
        ("maildrop", "show", "ana", "1"),
        MESSAGE,
        prepare=_mail,
        what="by its number",
    ),
    Ability(
        "MaildropService/GetMessage",
        _get_own,
        "SHOW_MAIL {uidl}",
        ("maildrop", "show", "ana", "{uidl}"),
        MESSAGE,
        prepare=_mail,
        own=True,
        what="of the own account",
    ),
    Ability(
        "MaildropService/ImportUniqueIds",
        _import,
        "IMPORT_UIDL ana DOVECOT",
        ("maildrop", "import-uidl", "--from", "dovecot", "ana"),
        KEPT,
        prepare=_moved,
    ),
    Ability(
        "MaildropService/ImportUniqueIds",
        _import,
        "IMPORT_UIDL ana DOVECOT",
        ("maildrop", "import-uidl", "--from", "dovecot", "--all"),
        KEPT,
        prepare=_moved,
        what="of every account",
        given=frozenset({Right.ACCOUNTS_READ}),
    ),
]
