"""The calls about address rules, bans and suspensions."""

from __future__ import annotations

import functools
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from pop3mgmt.calls.base import Calls, call
from pop3mgmt.v1 import access_pb2, access_pb2_grpc


class AccessCalls(Calls):
    """The calls about who may come in. Changes give how many POP3 sessions they ended as well."""

    @functools.cached_property
    def _access(self) -> access_pb2_grpc.AccessServiceAsyncStub:
        return access_pb2_grpc.AccessServiceStub(self._channel)

    async def list_rules(self) -> list[access_pb2.AddressRule]:
        """Give the address rules, oldest first."""
        found: list[access_pb2.AddressRule] = []
        token = ""
        while True:
            request = access_pb2.ListRulesRequest(page_token=token)
            page = await call(self._access.ListRules(request, **self._options()))
            found.extend(page.rules)
            if not (token := page.next_page_token):
                return found

    async def list_bans(self) -> list[access_pb2.Ban]:
        """Give the bans of networks, oldest first."""
        found: list[access_pb2.Ban] = []
        token = ""
        while True:
            request = access_pb2.ListBansRequest(page_token=token)
            page = await call(self._access.ListBans(request, **self._options()))
            found.extend(page.bans)
            if not (token := page.next_page_token):
                return found

    async def list_suspensions(self) -> list[access_pb2.Suspension]:
        """Give the suspensions of accounts, oldest first."""
        found: list[access_pb2.Suspension] = []
        token = ""
        while True:
            request = access_pb2.ListSuspensionsRequest(page_token=token)
            page = await call(self._access.ListSuspensions(request, **self._options()))
            found.extend(page.suspensions)
            if not (token := page.next_page_token):
                return found

    async def create_rule(
        self, rule: access_pb2.AddressRule, *, force: bool = False
    ) -> tuple[access_pb2.AddressRule, int]:
        """Make an address rule."""
        request = access_pb2.CreateRuleRequest(rule=rule, force=force)
        response = await call(self._access.CreateRule(request, **self._options()))
        return response.rule, response.ended_session_count

    async def delete_rule(
        self, number: int, *, force: bool = False
    ) -> tuple[access_pb2.AddressRule, int]:
        """Remove an address rule; give it as it was."""
        request = access_pb2.DeleteRuleRequest(id=number, force=force)
        response = await call(self._access.DeleteRule(request, **self._options()))
        return response.rule, response.ended_session_count

    async def ban(
        self,
        network: str,
        reason: str = "",
        duration_s: float | None = None,
        *,
        force: bool = False,
    ) -> tuple[access_pb2.Ban, int]:
        """Ban a network, for ever without a duration."""
        request = access_pb2.CreateBanRequest(
            network=network, reason=reason, duration=_duration(duration_s), force=force
        )
        response = await call(self._access.CreateBan(request, **self._options()))
        return response.ban, response.ended_session_count

    async def lift_ban(self, network: str) -> access_pb2.Ban:
        """Let a network in again; give the ban as it was."""
        request = access_pb2.DeleteBanRequest(network=network)
        return (await call(self._access.DeleteBan(request, **self._options()))).ban

    async def suspend_account(
        self,
        name: str,
        reason: str = "",
        duration_s: float | None = None,
        *,
        force: bool = False,
    ) -> tuple[access_pb2.Suspension, int]:
        """Keep an account out, until it is resumed without a duration."""
        request = access_pb2.SuspendAccountRequest(
            name=name, reason=reason, duration=_duration(duration_s), force=force
        )
        response = await call(self._access.SuspendAccount(request, **self._options()))
        return response.suspension, response.ended_session_count

    async def resume_account(self, name: str) -> access_pb2.Suspension:
        """Let an account log in again; give the suspension as it was."""
        request = access_pb2.ResumeAccountRequest(name=name)
        return (await call(self._access.ResumeAccount(request, **self._options()))).suspension

    async def explain_access(
        self, address: str = "", account_name: str = ""
    ) -> access_pb2.ExplainAccessResponse:
        """Say what would happen to a login from an address, to an account, or both."""
        request = access_pb2.ExplainAccessRequest(address=address, account_name=account_name)
        return await call(self._access.ExplainAccess(request, **self._options()))


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    made = Duration()
    made.FromTimedelta(timedelta(seconds=seconds))
    return made
