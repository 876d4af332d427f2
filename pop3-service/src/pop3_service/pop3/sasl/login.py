"""LOGIN: name and password asked for one by one. It has no RFC, and mail programs that use it."""

from __future__ import annotations

from pop3_service.pop3.sasl.exchange import BadExchange, Challenge, Password, Step

ASK_NAME = Challenge(b"Username:")
ASK_PASSWORD = Challenge(b"Password:")


class Login:
    """One exchange of LOGIN. Its first message is the name, asked for or with AUTH itself."""

    __slots__ = ("_name",)

    def __init__(self) -> None:
        self._name = b""

    def respond(self, response: bytes) -> Step:
        """Take the name, then the password."""
        if not response or b"\0" in response:
            raise BadExchange
        if not self._name:
            self._name = response
            return ASK_PASSWORD
        return Password(self._name, response)

    def challenged(self, state: bytes) -> None:
        """There is no challenge of the supervisor in this mechanism."""
