"""The throttle: messages of the contract to use cases and back."""

from __future__ import annotations

from datetime import timedelta

import structlog

from lineproto.clock import Clock
from lineproto.networks import plain_address
from pop3_service.api.access import caller
from pop3_service.api.servicers.shared import Context
from pop3_service.api.translate import offset_page, timestamp
from pop3_service.domain.account import AccountName
from pop3_service.domain.audit import describe
from pop3_service.domain.errors import InvalidArgument
from pop3_service.supervisor.defence.throttle import Throttle, Throttled
from pop3mgmt.v1 import throttle_pb2, throttle_pb2_grpc

log = structlog.get_logger()

COUNTED = {4: ("24", "32"), 6: ("64", "48", "128")}
"""Lengths of the networks that are counted, and of a single address."""


class ThrottleServicer(throttle_pb2_grpc.ThrottleServiceServicer):
    """The throttle."""

    def __init__(self, throttle: Throttle, clock: Clock) -> None:
        self._throttle = throttle
        self._clock = clock

    async def ListThrottled(
        self, request: throttle_pb2.ListThrottledRequest, context: Context
    ) -> throttle_pb2.ListThrottledResponse:
        """Give a page of the networks and accounts."""
        found = self._throttle.listing()
        page, next_token = offset_page(found, request.page_size, request.page_token)
        return throttle_pb2.ListThrottledResponse(
            throttled=map(self._message, page), next_page_token=next_token, total_count=len(found)
        )

    async def ClearThrottle(
        self, request: throttle_pb2.ClearThrottleRequest, context: Context
    ) -> throttle_pb2.ClearThrottleResponse:
        """Forget wrong logins."""
        if bool(request.address) is bool(request.account_name):
            raise InvalidArgument("give either address or account_name")
        if request.address:
            address = _address(request.address)
            cleared = self._throttle.clear(address=address)
            describe(target=address, before={"cleared": cleared})
            log.info("throttle cleared", by=caller().name, address=address, count=cleared)
        else:
            account = AccountName.meant(request.account_name)
            cleared = self._throttle.clear(account=account)
            describe(target=account, before={"cleared": cleared})
            log.info("throttle cleared", by=caller().name, account=account, count=cleared)
        return throttle_pb2.ClearThrottleResponse(cleared_count=cleared)

    def _message(self, throttled: Throttled) -> throttle_pb2.Throttled:
        message = throttle_pb2.Throttled(
            network=throttled.network,
            account_name=throttled.account,
            failure_count=throttled.failures,
            last_failure_time=timestamp(self._clock.now() - timedelta(seconds=throttled.age_s)),
        )
        message.delay.FromTimedelta(timedelta(seconds=throttled.delay_s))
        return message


def _address(text: str) -> str:
    """Give the address meant, or that of a network which is counted. Raises InvalidArgument."""
    host, slash, prefix = text.partition("/")
    try:
        address = plain_address(host)
    except ValueError:
        raise InvalidArgument("not an address, nor a network") from None
    if slash and prefix not in COUNTED[address.version]:
        raise InvalidArgument("wrong logins are counted by /24 of IPv4, /64 and /48 of IPv6")
    return str(address)
