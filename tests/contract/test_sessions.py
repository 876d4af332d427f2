"""Sessions over the contract: listed, watched and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from contract.service import Service, event, session
from pop3_service.supervisor.sessions import WATCHER_EVENTS
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import sessions_pb2
from scale import WATCHERS
from unit.pop3_service.clock import FakeClock


async def refused(call: Awaitable[Any]) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def watching(
    caller: Caller, account: str = ""
) -> AsyncIterator[sessions_pb2.SessionEvent | None]:
    """Begin to watch; come back once events are sent."""
    events = caller.watch_sessions(account)
    assert await anext(events) is None
    return events


# --- list ---


async def test_sessions_are_listed_over_all_workers_oldest_first(service: Service) -> None:
    service.workers[0].sessions = [session(4, "ana"), session(1)]
    service.workers[1].sessions = [session(3), session(2, "eva")]
    listed = await service.admin.list_sessions()
    assert [it.id for it in listed] == ["1", "2", "3", "4"]
    assert [it.id for it in await service.admin.list_sessions("eva")] == ["2"]
    told = listed[3]
    assert (told.peer, told.account_name, told.sent_bytes) == ("192.0.2.1:4", "ana", 10)
    assert (told.sent_message_count, told.idle_seconds) == (1, 3)
    assert told.connect_time.ToDatetime(UTC) == datetime.fromtimestamp(1004, UTC)


async def test_a_user_sees_its_own_sessions_alone(service: Service) -> None:
    ana = await service.user()
    service.workers[0].sessions = [session(1, "ana"), session(2, "eva"), session(3)]
    assert [it.id for it in await ana.list_sessions()] == ["1"]
    assert [it.id for it in await ana.list_sessions("ana")] == ["1"]
    assert await refused(ana.list_sessions("eva")) is Reason.PERMISSION_DENIED


async def test_pages_of_sessions_give_each_of_them_once(service: Service) -> None:
    service.workers[0].sessions = [session(number) for number in range(2500)]
    listed = await service.admin.list_sessions()
    assert [it.id for it in listed] == [str(number) for number in range(2500)]
    request = sessions_pb2.ListSessionsRequest(page_size=2000)
    page = await service.admin._sessions.ListSessions(request, metadata=service.admin._metadata)
    assert (len(page.sessions), page.total_count) == (1000, 2500)


@pytest.mark.parametrize(
    ("size", "token"), [(-1, ""), (0, "x"), (0, "-1"), (0, "²"), (0, "9" * 400)]
)
async def test_a_page_that_is_none_is_refused(service: Service, size: int, token: str) -> None:
    request = sessions_pb2.ListSessionsRequest(page_size=size, page_token=token)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await service.admin._sessions.ListSessions(request, metadata=service.admin._metadata)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT


# --- disconnect ---


async def test_a_session_is_ended_by_its_id(service: Service) -> None:
    service.workers[1].sessions = [session(1, "ana"), session(2, "ana")]
    assert await service.admin.disconnect(session_id="1") == 1
    assert service.workers[1].sessions == [session(2, "ana")]
    assert await refused(service.admin.disconnect(session_id="1")) is Reason.SESSION_NOT_FOUND


async def test_all_sessions_of_an_account_end_together(service: Service) -> None:
    service.workers[0].sessions = [session(1, "ana"), session(2, "eva")]
    service.workers[1].sessions = [session(3, "ana")]
    assert await service.admin.disconnect(account_name="ana") == 2
    assert await service.admin.disconnect(account_name="ana") == 0
    assert service.workers[0].sessions == [session(2, "eva")]


async def test_sessions_to_end_are_named_one_way(service: Service) -> None:
    assert await refused(service.admin.disconnect()) is Reason.INVALID_ARGUMENT
    both = service.admin.disconnect(session_id="1", account_name="ana")
    assert await refused(both) is Reason.INVALID_ARGUMENT


async def test_a_user_ends_its_own_sessions_alone(service: Service) -> None:
    ana = await service.user()
    service.workers[0].sessions = [session(1, "ana"), session(2, "eva"), session(3, "ana")]
    for number in ("2", "99"):
        call = ana.disconnect(session_id=number)
        assert await refused(call) is Reason.SESSION_NOT_FOUND
    assert await refused(ana.disconnect(account_name="eva")) is Reason.PERMISSION_DENIED
    assert await ana.disconnect(session_id="1") == 1
    assert await ana.disconnect(account_name="ana") == 1
    assert service.workers[0].sessions == [session(2, "eva")]


# --- watch ---


async def test_the_first_response_says_that_watching_has_begun(service: Service) -> None:
    events = await watching(service.admin)
    assert [worker.watched for worker in service.workers] == [True, True]
    service.sessions.publish(event(1, "ana"))
    told = await anext(events)
    assert told is not None
    assert told.kind == sessions_pb2.SessionEvent.KIND_LOGGED_IN
    assert (told.session.id, told.session.account_name, told.skipped_count) == ("1", "ana", 0)
    assert told.event_time.ToDatetime(UTC) == datetime.fromtimestamp(2001, UTC)
    await events.aclose()  # type: ignore[attr-defined]


async def test_workers_report_only_while_somebody_watches(service: Service) -> None:
    first, second = await watching(service.admin), await watching(service.admin)
    await first.aclose()  # type: ignore[attr-defined]
    assert service.workers[0].watched
    await second.aclose()  # type: ignore[attr-defined]
    while service.workers[0].watched:
        await service.admin.get_status()
    assert not service.sessions.pool.watched


async def test_a_user_watches_its_own_sessions_alone(service: Service) -> None:
    ana = await service.user()
    with pytest.raises(ManagementError) as error:
        await anext(ana.watch_sessions("eva"))
    assert error.value.reason is Reason.PERMISSION_DENIED
    events = await watching(ana)
    for number, account in enumerate(("eva", "", "ana")):
        service.sessions.publish(event(number, account))
    told = await anext(events)
    assert told is not None
    assert told.session.account_name == "ana"
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_watcher_is_told_how_many_events_it_missed(service: Service) -> None:
    events = await watching(service.admin)
    count = 5 * WATCHER_EVENTS
    for number in range(count):  # all at once, so the stream has no time to send any
        service.sessions.publish(event(number))
    seen, skipped = [], 0
    while not seen or seen[-1] != str(count - 1):
        told = await anext(events)
        assert told is not None
        seen.append(told.session.id)
        skipped += told.skipped_count
    assert len(seen) + skipped == count
    assert skipped >= count - WATCHER_EVENTS - 1
    assert seen == sorted(seen, key=int)
    await events.aclose()  # type: ignore[attr-defined]


@pytest.mark.attack(52, "slow watcher")
async def test_a_watcher_that_does_not_read_holds_up_nobody(service: Service) -> None:
    slow = await watching(service.admin)
    for number in range(20_000):
        service.sessions.publish(event(number))
        if number % 500 == 0:
            await service.admin.get_settings()
    seen, skipped, last = 0, 0, ""
    while last != "19999":
        told = await anext(slow)
        assert told is not None
        last = told.session.id
        seen += 1
        skipped += told.skipped_count
    assert seen + skipped == 20_000
    await slow.aclose()  # type: ignore[attr-defined]


async def test_many_watchers_see_the_same_events(service: Service) -> None:
    streams = [await watching(service.admin) for _ in range(WATCHERS)]
    for number in range(50):
        service.sessions.publish(event(number))

    async def take(events: AsyncIterator[Any]) -> list[str]:
        seen = [(await anext(events)).session.id for _ in range(50)]
        await events.aclose()  # type: ignore[attr-defined]
        return seen

    for seen in await asyncio.gather(*(take(events) for events in streams)):
        assert seen == [str(number) for number in range(50)]


async def test_a_stream_of_events_ends_with_its_token(service: Service) -> None:
    ana = await service.user()
    events = await watching(ana)
    await service.admin.delete_account("ana")
    service.sessions.publish(event(1, "ana"))
    with pytest.raises(ManagementError) as error:
        await anext(events)
    assert error.value.reason is Reason.INVALID_CREDENTIALS
    while service.sessions.pool.watched:
        await service.admin.get_status()


async def test_a_silent_stream_looks_after_its_token_too(
    service: Service, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pop3_service.api.wrapping.LOOK_AGAIN_S", 0.01)
    events = await watching(service.admin)
    clock.move(3600)
    with pytest.raises(ManagementError) as error:
        await anext(events)
    assert error.value.reason is Reason.INVALID_CREDENTIALS


async def test_a_client_that_goes_away_leaves_no_watcher(service: Service) -> None:
    async with ManagementClient(service.target) as client:
        await watching(client.caller(service.admin.token))
    while service.sessions.pool.watched:
        await service.admin.get_status()
    assert not service.workers[1].watched
