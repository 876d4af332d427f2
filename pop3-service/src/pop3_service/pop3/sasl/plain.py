"""PLAIN (RFC 4616): one message with name and password."""

from __future__ import annotations

from pop3_service.pop3.sasl.exchange import BadExchange, Password, Step, check_authorization


class Plain:
    """One exchange of PLAIN."""

    __slots__ = ()

    def respond(self, response: bytes) -> Step:
        """Take ``[authorization identity] NUL name NUL password`` (RFC 4616 section 2)."""
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise BadExchange
        authorization, name, password = parts
        if not name or not password:
            raise BadExchange
        check_authorization(authorization, name)
        return Password(name, password)

    def challenged(self, state: bytes) -> None:
        """There is no challenge of the supervisor in this mechanism."""
