"""When accounts last logged in: no sooner again than the setting ``login_delay`` says.

One record for all workers. It is kept only while the setting is on, and only as long as it counts;
a restart of the service forgets it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from lineproto.clock import Clock

MAX_ACCOUNTS = 1_000_000
"""Accounts remembered; of more, those whose login was longest ago are forgotten."""


class LoginTimes:
    """The last login of each account. ``delay_s`` gives the setting of now, in seconds."""

    def __init__(
        self, clock: Clock, delay_s: Callable[[], float], *, limit: int = MAX_ACCOUNTS
    ) -> None:
        self._clock = clock
        self._delay_s = delay_s
        self._limit = limit
        self._last_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """Accounts remembered."""
        return len(self._last_s)

    def note(self, account: str) -> bool:
        """Note a login, unless it comes too soon after the account's last; give whether it may."""
        delay_s = self._delay_s()
        now_s = self._clock.monotonic()
        last_s = self._last_s.get(account)
        if last_s is not None and now_s - last_s < delay_s:
            return False
        self._last_s[account] = now_s
        self._last_s.move_to_end(account)
        self._forget(now_s - delay_s)
        return True

    def _forget(self, before_s: float) -> None:
        """Forget what counts no more, and what is too much."""
        while self._last_s:
            account, last_s = next(iter(self._last_s.items()))
            if last_s > before_s and len(self._last_s) <= self._limit:
                return
            del self._last_s[account]
