"""WHY: what would happen to a login, and what decides."""

from __future__ import annotations

from typing import NamedTuple

from lineproto.networks import plain_address
from pop3_service.domain.access import Visit
from pop3_service.domain.account import AccountName
from pop3_service.domain.address_rules import Service
from pop3_service.domain.errors import AccountNotFound, InvalidArgument
from pop3_service.domain.why import Explanation, explain
from pop3_service.storage.accounts import AccountStore
from pop3_service.supervisor.defence.access import AccessGate
from pop3_service.supervisor.defence.throttle import Throttle, ThrottleState


class Why(NamedTuple):
    """What would happen to a POP3 login and to a management login, and how long it would take."""

    explanations: tuple[Explanation, ...]
    role: str
    throttle: ThrottleState


class WhyDesk:
    """Explains, by what decides itself."""

    def __init__(self, gate: AccessGate, accounts: AccountStore, throttle: Throttle) -> None:
        self._gate = gate
        self._accounts = accounts
        self._throttle = throttle

    async def explain(self, address: str, account: str) -> Why:
        """Explain what would happen to a login from an address, to an account, or both.

        Raises:
            InvalidArgument: neither is given, or it is no address.
            AccountNotFound
        """
        if not address and not account:
            raise InvalidArgument("give an address, an account, or both")
        if address:
            try:
                address = str(plain_address(address))
            except ValueError as error:
                raise InvalidArgument(f"not an address: {error}") from None
        name = role = ""
        if account:
            found = await self._accounts.get(AccountName.meant(account))
            if found is None:
                raise AccountNotFound(account)
            name, role = str(found.name), found.role
        explanations = tuple(
            explain(self._gate.current, Visit(it, address, name, role), self._gate.now_s())
            for it in (Service.POP3, Service.MANAGEMENT)
        )
        return Why(explanations, role, self._throttle.state(address, name))
