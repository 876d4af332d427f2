"""Address rules, bans and suspensions: messages of the contract to use cases and back."""

from __future__ import annotations

from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import offset_page
from pop3_service.api.translate_access import (
    ban_message,
    delay_message,
    rule_message,
    rule_of,
    seconds_of,
    suspension_message,
    verdict_message,
)
from pop3_service.domain.address_rules import Ban, Suspension
from pop3_service.supervisor.defence.address_rules import RulesDesk
from pop3_service.supervisor.defence.bans import BansDesk
from pop3_service.supervisor.defence.why import WhyDesk
from pop3mgmt.v1 import access_pb2, access_pb2_grpc


class AccessServicer(access_pb2_grpc.AccessServiceServicer):
    """Who may come in from where."""

    def __init__(self, rules: RulesDesk, bans: BansDesk, why: WhyDesk) -> None:
        self._rules = rules
        self._bans = bans
        self._why = why

    async def ListRules(
        self, request: access_pb2.ListRulesRequest, context: Context
    ) -> access_pb2.ListRulesResponse:
        """Give a page of the address rules."""
        rules = self._rules.list()
        page, token = offset_page(rules, request.page_size, request.page_token)
        return access_pb2.ListRulesResponse(
            rules=map(rule_message, page), next_page_token=token, total_count=len(rules)
        )

    async def ListBans(
        self, request: access_pb2.ListBansRequest, context: Context
    ) -> access_pb2.ListBansResponse:
        """Give a page of the bans."""
        bans = self._bans.bans()
        page, token = offset_page(bans, request.page_size, request.page_token)
        return access_pb2.ListBansResponse(
            bans=map(ban_message, page), next_page_token=token, total_count=len(bans)
        )

    async def ListSuspensions(
        self, request: access_pb2.ListSuspensionsRequest, context: Context
    ) -> access_pb2.ListSuspensionsResponse:
        """Give a page of the suspensions."""
        suspensions = self._bans.suspensions()
        page, token = offset_page(suspensions, request.page_size, request.page_token)
        return access_pb2.ListSuspensionsResponse(
            suspensions=map(suspension_message, page),
            next_page_token=token,
            total_count=len(suspensions),
        )

    async def CreateRule(
        self, request: access_pb2.CreateRuleRequest, context: Context
    ) -> access_pb2.CreateRuleResponse:
        """Make an address rule."""
        rule, ended = await self._rules.create(rule_of(request.rule), caller(), force=request.force)
        return access_pb2.CreateRuleResponse(rule=rule_message(rule), ended_session_count=ended)

    async def CreateBan(
        self, request: access_pb2.CreateBanRequest, context: Context
    ) -> access_pb2.CreateBanResponse:
        """Ban a network."""
        wanted = Ban(request.network, request.reason)
        lasts_s = seconds_of(request.duration) if request.HasField("duration") else None
        ban, ended = await self._bans.ban(wanted, lasts_s, caller(), force=request.force)
        return access_pb2.CreateBanResponse(ban=ban_message(ban), ended_session_count=ended)

    async def DeleteRule(
        self, request: access_pb2.DeleteRuleRequest, context: Context
    ) -> access_pb2.DeleteRuleResponse:
        """Remove an address rule."""
        rule, ended = await self._rules.delete(request.id, caller(), force=request.force)
        return access_pb2.DeleteRuleResponse(rule=rule_message(rule), ended_session_count=ended)

    async def DeleteBan(
        self, request: access_pb2.DeleteBanRequest, context: Context
    ) -> access_pb2.DeleteBanResponse:
        """Let a network in again."""
        ban = await self._bans.lift(request.network, caller())
        return access_pb2.DeleteBanResponse(ban=ban_message(ban))

    async def SuspendAccount(
        self, request: access_pb2.SuspendAccountRequest, context: Context
    ) -> access_pb2.SuspendAccountResponse:
        """Keep an account out."""
        wanted = Suspension(request.name, request.reason)
        lasts_s = seconds_of(request.duration) if request.HasField("duration") else None
        made, ended = await self._bans.suspend(wanted, lasts_s, caller(), force=request.force)
        return access_pb2.SuspendAccountResponse(
            suspension=suspension_message(made), ended_session_count=ended
        )

    async def ResumeAccount(
        self, request: access_pb2.ResumeAccountRequest, context: Context
    ) -> access_pb2.ResumeAccountResponse:
        """Let an account log in again."""
        was = await self._bans.resume(request.name, caller())
        return access_pb2.ResumeAccountResponse(suspension=suspension_message(was))

    async def ExplainAccess(
        self, request: access_pb2.ExplainAccessRequest, context: Context
    ) -> access_pb2.ExplainAccessResponse:
        """Say what would happen to a login."""
        why = await self._why.explain(request.address, request.account_name)
        return access_pb2.ExplainAccessResponse(
            verdicts=map(verdict_message, why.explanations),
            role=why.role,
            delay=delay_message(why.throttle),
        )
