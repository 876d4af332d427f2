"""The calls about the throttle."""

from __future__ import annotations

import functools

from pop3mgmt.calls.base import Calls, call
from pop3mgmt.v1 import throttle_pb2, throttle_pb2_grpc


class ThrottleCalls(Calls):
    """The calls about the throttle."""

    @functools.cached_property
    def _throttle(self) -> throttle_pb2_grpc.ThrottleServiceAsyncStub:
        return throttle_pb2_grpc.ThrottleServiceStub(self._channel)

    async def list_throttled(self) -> list[throttle_pb2.Throttled]:
        """Give the networks and accounts with wrong logins, the most first."""
        found: list[throttle_pb2.Throttled] = []
        token = ""
        while True:
            request = throttle_pb2.ListThrottledRequest(page_token=token)
            page = await call(self._throttle.ListThrottled(request, **self._options()))
            found.extend(page.throttled)
            if not (token := page.next_page_token):
                return found

    async def clear_throttle(self, *, address: str = "", account_name: str = "") -> int:
        """Forget the wrong logins of an address's networks, or of an account; give how many."""
        request = throttle_pb2.ClearThrottleRequest(address=address, account_name=account_name)
        response = await call(self._throttle.ClearThrottle(request, **self._options()))
        return response.cleared_count
