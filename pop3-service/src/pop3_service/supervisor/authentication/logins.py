"""Logins: a POP3 client's name and password become an outcome. Never raises for a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import structlog

from lineproto.clock import Clock
from pop3_service.control.plane import (
    Admitted,
    AuthOutcome,
    Challenged,
    Credentials,
    Evidence,
    LoginOutcome,
    Refused,
)
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import LoginEvent, printable
from pop3_service.domain.errors import (
    InvalidArgument,
    LoginTooSoon,
    PasswordHindrance,
    ServiceError,
)
from pop3_service.domain.session import SessionEvent
from pop3_service.domain.transforms import TransformCount
from pop3_service.supervisor.authentication.authenticator import Authenticator
from pop3_service.supervisor.authentication.login_times import LoginTimes
from pop3_service.supervisor.authentication.proof import (
    Check,
    CheckOutcome,
    Claim,
    ReadClaim,
    WrongProof,
)
from pop3_service.supervisor.defence.throttle import Attempt, Throttle
from pop3mgmt.reasons import Reason

TOLD_ALREADY = b"it was wrong"
"""The state of an exchange that ends with whatever the client says to the challenge before."""

log = structlog.get_logger()


class LoginDesk:
    """The supervisor's side of the seam: a ``control.plane.ControlPlane``."""

    def __init__(
        self,
        authenticator: Authenticator,
        throttle: Throttle,
        times: LoginTimes,
        publish: Callable[[SessionEvent], None],
        checks: Mapping[str, Check],
        audit: Callable[[list[LoginEvent]], None],
        clock: Clock,
        claims: Mapping[str, ReadClaim] | None = None,
    ) -> None:
        """``checks`` are those of the mechanisms that are checked here, by name.

        ``audit`` is told every login and every refusal, and never waits. ``claims`` tells, by
        mechanism, what a message claims; of one that has none nothing is known before its check.
        """
        self._audit = audit
        self._clock = clock
        self._checks = checks
        self._claims = claims or {}
        self._authenticator = authenticator
        self._throttle = throttle
        self._times = times
        self._publish = publish
        self.on_transforms: Callable[[list[TransformCount]], None] = lambda _: None
        """Told what came of transforms in the workers."""

    async def login(self, credentials: Credentials) -> LoginOutcome:
        """Check a password. A wrong name and a wrong password have one answer, at one time."""
        name, password = credentials.name, credentials.password
        attempt = self._throttle.attempt(credentials.peer, name)
        admitted = self._authenticator.remembered(name, password)
        if admitted is None:
            try:
                async with self._throttle.turn(attempt):
                    admitted = await self._authenticator.login(name, password)
            except ServiceError as error:
                return self._failed(error, name, credentials, attempt)
        if admitted is None:
            return self._wrong(name, credentials, attempt, password)
        self._throttle.right(attempt, admitted.account)
        return admitted

    async def authenticate(self, evidence: Evidence) -> AuthOutcome:
        """Look at a message of AUTH. What is wrong has the same answer as a wrong password."""
        if evidence.state == TOLD_ALREADY:
            return Refused(Reason.INVALID_CREDENTIALS)
        check = self._checks.get(evidence.mechanism)
        if check is None:
            return Refused(Reason.INVALID_ARGUMENT)
        claim = self._claimed(evidence)
        attempt = self._throttle.attempt(evidence.peer, claim.name)
        try:
            outcome = await self._checked(check(evidence), claim, attempt)
        except ServiceError as error:
            return self._failed(error, claim.name, evidence, attempt)
        if isinstance(outcome, WrongProof):
            why = {"why": outcome.why} if outcome.why else {}
            refused = self._wrong(
                outcome.name,
                evidence,
                attempt,
                claim.secret,
                mechanism=evidence.mechanism,
                **why,
            )
            if not outcome.challenge:
                return refused
            return Challenged(outcome.challenge, TOLD_ALREADY, refused.delay_s)
        if isinstance(outcome, Admitted):
            self._throttle.right(attempt, outcome.account)
        return outcome

    async def _checked(
        self, check: Coroutine[Any, Any, CheckOutcome], claim: Claim, attempt: Attempt
    ) -> CheckOutcome:
        """Await a check, once it may be made.

        Raises:
            LoginThrottled: it may not.
        """
        try:
            if not claim.decides:
                return await check
            if not claim.in_turn:
                await self._throttle.wait(attempt)
                return await check
            async with self._throttle.turn(attempt):
                return await check
        finally:
            check.close()

    def _claimed(self, evidence: Evidence) -> Claim:
        read = self._claims.get(evidence.mechanism)
        try:
            return read(evidence) if read is not None else Claim()
        except InvalidArgument:  # the check will say so
            return Claim()

    def _failed(
        self, error: ServiceError, name: bytes, asked: Credentials | Evidence, attempt: Attempt
    ) -> Refused:
        if isinstance(error, PasswordHindrance):
            name = error.name.encode()
            log.info("login refused", reason=error.reason, peer=asked.peer, name=error.name)
        elif error.reason not in (Reason.LOGIN_THROTTLED, Reason.INVALID_ARGUMENT):
            log.error("login failed", reason=error.reason, error=str(error))
        if error.reason is not Reason.INVALID_ARGUMENT:
            self._note(name, asked, error.reason)
        if error.reason is Reason.LOGIN_THROTTLED:  # as late as what was checked
            return Refused(error.reason, self._throttle.delay_s(attempt))
        return Refused(error.reason)

    def _note(self, name: bytes, asked: Credentials | Evidence, reason: Reason) -> None:
        # As the account is written: its owner looks for what was tried under the name.
        text = printable(AccountName.meant(name.decode("utf-8", "replace")))
        now_s = self._clock.now().timestamp()
        event = LoginEvent(now_s, text, asked.peer, asked.mechanism, asked.tls, reason.value)
        self._audit([event])

    def _wrong(
        self,
        name: bytes,
        asked: Credentials | Evidence,
        attempt: Attempt,
        secret: bytes,
        **more: str,
    ) -> Refused:
        reason, delay_s = self._throttle.wrong(attempt, secret)
        self._note(name, asked, reason)
        log.info(
            "login refused",
            reason=Reason.INVALID_CREDENTIALS,
            peer=asked.peer,
            name=ascii(name[:64].decode("utf-8", "replace")),
            delay_s=delay_s,
            **more,
        )
        return Refused(reason, delay_s)

    async def note_login(self, account: str) -> None:
        """Note that an account logs in, unless that is too soon."""
        if not self._times.note(account):
            log.info("login too soon", account=account)
            raise LoginTooSoon

    def report(self, event: SessionEvent) -> None:
        """Pass an event on to whoever watches."""
        self._publish(event)

    def report_logins(self, events: list[LoginEvent]) -> None:
        """Pass what workers saw on to the audit."""
        self._audit(events)

    def report_transforms(self, counts: list[TransformCount]) -> None:
        """Pass on what came of transforms."""
        self.on_transforms(counts)
