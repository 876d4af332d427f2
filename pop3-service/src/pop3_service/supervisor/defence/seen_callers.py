"""Who managed the service a short while ago, and from where: whom a ban may not hit by accident."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from lineproto.clock import Clock
from pop3_service.domain.account import Principal
from pop3_service.supervisor.defence.origin import network_of

REMEMBER_S = 3600.0
MAX_CALLERS = 1000


@dataclass(frozen=True, slots=True)
class SeenCaller:
    """Who called, and until when that is remembered (monotonic)."""

    principal: Principal
    end_s: float


class SeenCallers:
    """The latest callers by account and address; the longest unseen are forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._callers: OrderedDict[tuple[str, str], SeenCaller] = OrderedDict()

    def note(self, principal: Principal) -> None:
        """Note that somebody makes a call."""
        host = principal.address.rpartition(":")[0]
        # Of IPv6 one has as many addresses as one likes, and could push the others out.
        key = (principal.name, network_of(principal.address) if ":" in host else host)
        self._callers[key] = SeenCaller(principal, self._clock.monotonic() + REMEMBER_S)
        self._callers.move_to_end(key)
        if len(self._callers) > MAX_CALLERS:
            self._callers.popitem(last=False)

    def all(self) -> list[Principal]:
        """Give whom was seen."""
        now_s = self._clock.monotonic()
        return [it.principal for it in self._callers.values() if it.end_s > now_s]
