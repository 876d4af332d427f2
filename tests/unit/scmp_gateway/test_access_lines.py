"""Lines about rules and bans: what may follow the network, and what each thing is told as."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import access_pb2
from pop3mgmt.v1.access_pb2 import AddressRule, Ban
from scmp_gateway.acts import access
from scmp_gateway.command import parse


class Asked(Caller):
    """A caller that notes what it is asked for."""

    def __init__(self, client: ManagementClient) -> None:
        super().__init__(client, "token")
        self.asked: list[object] = []

    async def create_rule(
        self, rule: AddressRule, *, force: bool = False
    ) -> tuple[AddressRule, int]:
        self.asked = [rule, force]
        return AddressRule(id=7), 2

    async def ban(
        self,
        network: str,
        reason: str = "",
        duration_s: float | None = None,
        *,
        force: bool = False,
    ) -> tuple[Ban, int]:
        self.asked = [network, reason, duration_s, force]
        return Ban(network=network), 0


@pytest.fixture
async def caller() -> AsyncIterator[Asked]:
    async with ManagementClient("127.0.0.1:1") as client:
        yield Asked(client)


async def test_options_come_in_any_order_and_the_reason_is_the_rest(caller: Asked) -> None:
    line = parse(b"deny 10.0.0.0/8 force on POP3 for role:user because FOR  ever")
    assert (
        await access.set_rule(caller, line)
    ).encode() == b"+OK rule 7 made, 2 sessions ended\r\n"
    rule = AddressRule(
        effect=AddressRule.EFFECT_DENY,
        network="10.0.0.0/8",
        subject="role:user",
        kind=access_pb2.ACCESS_KIND_POP3,
        note="FOR ever",
    )
    assert caller.asked == [rule, True]


async def test_without_options_a_rule_is_for_everyone_and_everything(caller: Asked) -> None:
    await access.set_rule(caller, parse(b"ALLOW 10.0.0.0/8"))
    rule = AddressRule(
        effect=AddressRule.EFFECT_ALLOW, network="10.0.0.0/8", kind=access_pb2.ACCESS_KIND_BOTH
    )
    assert caller.asked == [rule, False]


async def test_a_ban_without_an_end_is_for_ever(caller: Asked) -> None:
    reply = await access.ban(caller, parse(b"BAN 10.0.0.1"))
    assert reply.encode() == b"+OK 10.0.0.1 banned for ever, 0 sessions ended\r\n"
    assert caller.asked == ["10.0.0.1", "", None, False]
    await access.ban(caller, parse(b"BAN 10.0.0.1 FOR 1h30m"))
    assert caller.asked[2] == 5400


@pytest.mark.parametrize(
    "line",
    [
        b"DENY 10.0.0.0/8 FOR",
        b"DENY 10.0.0.0/8 ON telnet",
        b"DENY 10.0.0.0/8 FOR role:user FOR role:admin",
        b"DENY 10.0.0.0/8 FORCE FORCE",
        b"DENY 10.0.0.0/8 BECAUSE",
        b"DENY 10.0.0.0/8 role:user",
        b"BAN 10.0.0.1 ON POP3",
        b"BAN 10.0.0.1 FOR long",
        b"REMOVE_RULE seven",
        b"REMOVE_RULE 7 NOW",
        b"WHY 10.0.0.1 10.0.0.2",
        b"WHY ana berta",
    ],
)
async def test_what_has_no_place_there_is_refused(caller: Asked, line: bytes) -> None:
    acts = {
        "DENY": access.set_rule,
        "BAN": access.ban,
        "REMOVE_RULE": access.remove_rule,
        "WHY": access.why,
    }
    parsed = parse(line)
    with pytest.raises(ManagementError) as refused:
        await acts[parsed.verb](caller, parsed)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert caller.asked == []
