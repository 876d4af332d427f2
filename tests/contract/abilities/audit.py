"""What is done with the audit."""

from __future__ import annotations

from typing import Any

from contract.ability import Ability, Answers, Facts
from contract.world import Reply
from pop3mgmt.client import Caller
from pop3mgmt.v1.audit_pb2 import AuditFilter


async def _list(caller: Caller, _: Facts) -> Any:
    meant = AuditFilter(action="accounts.create")
    return [it async for it in caller.list_audit_entries(meant, 5)]


async def _export(caller: Caller, _: Facts) -> Any:
    return [it async for it in caller.list_audit_entries(AuditFilter(target="one"))]


async def _verify(caller: Caller, _: Facts) -> Any:
    return await caller.verify_audit()


def _row(line: str) -> tuple[str, str, str]:
    _, _, actor, action, outcome, *_ = line.split()
    return actor, action, outcome


ENTRIES = Answers(
    lambda them: [(it.actor, it.action, it.outcome) for it in them],
    lambda reply: [_row(line) for line in reply.listing],
    lambda records: [(it["actor"], it["action"], it["outcome"]) for it in records],
)


def _whole(reply: Reply) -> bool:
    return reply.line.startswith("+OK the audit is whole: ")


ABILITIES = [
    Ability(
        "AuditService/ListAuditEntries",
        _list,
        "AUDIT 5 action=accounts.create",
        ("audit", "list", "--limit", "5", "--action", "accounts.create"),
        ENTRIES,
    ),
    Ability(
        "AuditService/ListAuditEntries",
        _export,
        "AUDIT target=one",
        ("audit", "export", "--target", "one"),
        Answers(ENTRIES.grpc, ENTRIES.scmp, ENTRIES.pop3ctl),
        lines=True,
        what="as JSON lines",
    ),
    Ability(
        "AuditService/VerifyAudit",
        _verify,
        "AUDIT_VERIFY",
        ("audit", "verify"),
        Answers(lambda found: not found.damage, _whole, lambda record: record["whole"]),
    ),
]
