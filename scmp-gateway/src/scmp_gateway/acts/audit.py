"""The audit."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.audit_pb2 import AuditEntry, AuditFilter
from scmp_gateway.command import Line, number

ENTRIES = 20
"""Entries without a count."""
MOST = 1000
TEXTS = ("actor", "action", "target", "outcome", "address")
TIMES = ("since", "until")


async def audit(caller: Caller, line: Line) -> Reply:
    """The newest entries, oldest of them last: so many, and those that filters name."""
    words = list(line.words)
    count = ENTRIES
    if words and "=" not in words[0]:
        wanted = number(words.pop(0))
        if wanted is None or not 0 < wanted <= MOST:
            raise ManagementError(Reason.INVALID_ARGUMENT, f"a count is from 1 to {MOST}")
        count = wanted
    found = [it async for it in caller.list_audit_entries(_filter(words), count)]
    return Listing(f"{len(found)} entries, the newest first", [entry_line(it) for it in found])


async def audit_verify(caller: Caller, line: Line) -> Reply:
    """Whether the audit is as it was written."""
    found = await caller.verify_audit("".join(line.words))
    told = f"{found.entry_count} entries in {found.batch_count} batches, head {found.head}"
    if not found.damage:
        return Ok(f"the audit is whole: {told}")
    lines = [
        f"batch={it.batch} entries={it.first_sequence}-{it.last_sequence} {it.text}"
        for it in found.damage
    ]
    return Listing(f"the audit is DAMAGED: {told}", lines)


def entry_line(entry: AuditEntry) -> str:
    """Tell of an entry in one line."""
    when = entry.entry_time.ToDatetime().isoformat(timespec="milliseconds")
    facts = {
        "target": entry.target,
        "from": entry.address,
        "via": entry.via,
        "token": entry.token_name,
        "count": str(entry.count) if entry.count != 1 else "",
    }
    told = [f"{name}={_word(value)}" for name, value in facts.items() if value]
    told += [f"{name}={text}" for name, text in
             (("before", entry.before_json), ("after", entry.after_json)) if text]  # fmt: skip
    actor = _word(entry.actor or "-")
    return " ".join([f"{entry.sequence} {when}Z", actor, entry.action, entry.outcome, *told])


def _word(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text else text


def _filter(words: list[str]) -> AuditFilter:
    made = AuditFilter()
    for word in words:
        name, _, value = word.partition("=")
        if name.lower() in TEXTS and value:
            setattr(made, name.lower(), value)
        elif name.lower() in TIMES:
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ManagementError(
                    Reason.INVALID_ARGUMENT, "a time is as 2026-01-31T18:00:00Z"
                ) from None
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            getattr(made, f"{name.lower()}_time").FromDatetime(moment.astimezone(UTC))
        else:
            known = ", ".join(f"{it}=" for it in (*TEXTS, *TIMES))
            raise ManagementError(Reason.INVALID_ARGUMENT, f"a filter is one of {known}")
    return made
