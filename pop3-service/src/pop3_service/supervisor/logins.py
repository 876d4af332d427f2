"""Logins: a POP3 client's name and password become an outcome. Never raises for a wrong one."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from pop3_service.control.plane import Credentials, LoginOutcome, Refused
from pop3_service.domain.errors import ServiceError
from pop3_service.domain.session import SessionEvent
from pop3_service.supervisor.authenticator import Authenticator
from pop3_service.supervisor.throttle import Throttle
from pop3mgmt.reasons import Reason

log = structlog.get_logger()


class LoginDesk:
    """The supervisor's side of the seam: a ``control.plane.ControlPlane``."""

    def __init__(
        self,
        authenticator: Authenticator,
        throttle: Throttle,
        publish: Callable[[SessionEvent], None],
    ) -> None:
        self._authenticator = authenticator
        self._throttle = throttle
        self._publish = publish

    async def login(self, credentials: Credentials) -> LoginOutcome:
        """Check a password. A wrong name and a wrong password have one answer."""
        try:
            admitted = await self._authenticator.login(credentials.name, credentials.password)
        except ServiceError as error:
            if error.reason is not Reason.LOGIN_THROTTLED:
                log.error("login failed", reason=error.reason, error=str(error))
            return Refused(error.reason)
        if admitted is not None:
            return admitted
        delay_s = self._throttle.failed(credentials.peer)
        log.info(
            "login refused",
            reason=Reason.INVALID_CREDENTIALS,
            peer=credentials.peer,
            name=ascii(credentials.name[:64].decode("utf-8", "replace")),
            delay_s=delay_s,
        )
        return Refused(Reason.INVALID_CREDENTIALS, delay_s)

    def report(self, event: SessionEvent) -> None:
        """Pass an event on to whoever watches."""
        self._publish(event)
