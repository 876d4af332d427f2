"""State and settings over the contract."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from contract.service import Service, session
from pop3_service.domain.ahead import AheadProgress, TransformedMail
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.storage.store import FILE
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError, from_rpc_error
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import server_pb2
from unit.pop3_service.clock import FakeClock


async def refused(call: Awaitable[Any]) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def change(caller: Caller, **values: Any) -> server_pb2.Settings:
    return await caller.update_settings(server_pb2.Settings(**values), values)


# --- settings ---


async def test_settings_have_their_defaults_at_first(service: Service) -> None:
    settings = await service.admin.get_settings()
    assert (settings.max_accounts, settings.max_connections) == (10_000, 10_000)
    assert settings.idle_timeout.ToTimedelta() == timedelta(minutes=10)


async def test_a_change_is_in_force_on_every_worker_when_it_is_answered(service: Service) -> None:
    changed = await change(
        service.admin, max_connections=7, idle_timeout=timedelta(seconds=1, milliseconds=500)
    )
    assert changed.max_connections == 7
    assert changed.max_accounts == 10_000
    assert await service.admin.get_settings() == changed
    for worker in service.workers:
        assert (worker.settings.max_connections, worker.settings.idle_timeout_s) == (7, 1.5)


async def test_settings_are_there_after_a_restart(tmp_path: Path) -> None:
    async with Service(tmp_path, FakeClock()).running() as first:
        changed = await change(first.admin, max_accounts=5, oauth_scope="mail")
    async with Service(tmp_path, FakeClock()).running() as second:
        assert await second.admin.get_settings() == changed


@pytest.mark.parametrize("value", [0, -1, -(2**31), 2**31 - 1])
async def test_a_maximum_of_accounts_out_of_range_is_refused(service: Service, value: int) -> None:
    assert await refused(change(service.admin, max_accounts=value)) is Reason.INVALID_ARGUMENT
    assert (await service.admin.get_settings()).max_accounts == 10_000


def test_a_maximum_past_the_contracts_numbers_cannot_even_be_written() -> None:
    with pytest.raises(ValueError, match="out of range"):
        server_pb2.Settings(max_accounts=2**31)


async def test_a_maximum_below_the_accounts_there_are_is_refused(service: Service) -> None:
    await service.admin.create_account("ana", "x")
    assert await refused(change(service.admin, max_accounts=1)) is Reason.LIMIT_BELOW_CURRENT
    assert (await change(service.admin, max_accounts=2)).max_accounts == 2


@pytest.mark.parametrize(
    "paths", [[], ["no_such"], ["idle_timeout_s"], ["max_accounts", ""], ["transform.x"]]
)
async def test_a_mask_that_names_no_setting_changes_none(
    service: Service, paths: list[str]
) -> None:
    wanted = server_pb2.Settings(max_accounts=5)
    assert await refused(service.admin.update_settings(wanted, paths)) is Reason.INVALID_ARGUMENT
    assert (await service.admin.get_settings()).max_accounts == 10_000


async def test_one_wrong_value_changes_no_other(service: Service) -> None:
    call = change(service.admin, max_connections=5, max_accounts=0)
    assert await refused(call) is Reason.INVALID_ARGUMENT
    assert (await service.admin.get_settings()).max_connections == 10_000
    assert service.workers[0].settings.max_connections == 10_000


@pytest.mark.parametrize("seconds", [2**62, -(2**62), -1, 0])
async def test_a_time_out_of_range_is_refused(service: Service, seconds: int) -> None:
    wanted = server_pb2.Settings()
    wanted.idle_timeout.seconds = seconds
    call = service.admin.update_settings(wanted, ["idle_timeout"])
    assert await refused(call) is Reason.INVALID_ARGUMENT


# --- state ---


async def test_the_state_tells_what_there_is(service: Service, clock: FakeClock) -> None:
    start = clock.now()
    counters = service.board.slot(0)
    for name, count in (("opened", 5), ("closed", 2), ("logins", 3), ("logouts", 1)):
        counters.add(name, count)
    for name in ("sent_bytes", "sent_messages", "deleted_messages", "refused_logins"):
        counters.add(name, 7)
    clock.move(60)
    status = await service.admin.get_status()
    assert status.version == "1.2.3"
    assert status.start_time.ToDatetime(UTC) == start
    assert status.status_time.ToDatetime(UTC) == clock.now()
    assert (status.total_connection_count, status.current_connection_count) == (5, 3)
    assert status.logged_in_session_count == 2
    assert {
        status.sent_bytes,
        status.sent_message_count,
        status.deleted_message_count,
        status.refused_login_count,
    } == {7}
    assert status.account_count == 1
    assert (status.worker_count, status.draining_worker_count) == (2, 1)
    assert status.worker_restart_count == 3


async def test_the_state_tells_what_is_kept_of_transformed_mail(service: Service) -> None:
    assert not (await service.admin.get_status()).HasField("transformed_mail")
    service.transformed_mail = TransformedMail(True, AheadProgress(3, 2, 1), 4096, 1 << 30)
    mail = (await service.admin.get_status()).transformed_mail
    assert (mail.ahead, mail.used_bytes, mail.limit_bytes) == (True, 4096, 1 << 30)
    assert (mail.waiting_count, mail.done_count, mail.failed_count) == (3, 2, 1)


async def test_the_state_comes_again_each_interval(service: Service, clock: FakeClock) -> None:
    clock.waits = True
    states = service.admin.watch_status(timedelta(seconds=2))
    first = await anext(states)
    for round_ in range(1, 4):
        while len(clock.slept) < round_:
            await service.admin.get_status()
        clock.move(2)
        state = await anext(states)
        elapsed = state.status_time.ToDatetime(UTC) - first.status_time.ToDatetime(UTC)
        assert elapsed == timedelta(seconds=2 * round_)
    assert clock.slept == [2, 2, 2] or clock.slept == [2, 2, 2, 2]
    await states.aclose()


async def test_a_stream_of_states_ends_with_its_token(service: Service, clock: FakeClock) -> None:
    clock.waits = True
    states = service.admin.watch_status(timedelta(seconds=3600))
    await anext(states)
    while not clock.slept:
        await service.admin.get_status()
    clock.move(3600)
    with pytest.raises(ManagementError) as error:
        await anext(states)
    assert error.value.reason is Reason.INVALID_CREDENTIALS


@pytest.mark.parametrize("seconds", [0.05, -1.0])
async def test_an_interval_that_is_too_short_is_refused(service: Service, seconds: float) -> None:
    with pytest.raises(ManagementError) as error:
        await anext(service.admin.watch_status(timedelta(seconds=seconds)))
    assert error.value.reason is Reason.INVALID_ARGUMENT


async def test_an_interval_that_is_no_time_is_refused(service: Service) -> None:
    request = server_pb2.WatchStatusRequest()
    request.interval.seconds = 2**62
    call = service.admin._server.WatchStatus(request, metadata=service.admin._metadata)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await anext(aiter(call))
    assert from_rpc_error(error.value).reason is Reason.INVALID_ARGUMENT


# --- failures within ---


async def test_a_store_that_fails_is_told_as_unavailable(service: Service) -> None:

    with sqlite3.connect(service.folder / "data" / FILE) as other:
        other.execute("drop table accounts")
    other.close()
    assert await refused(service.admin.list_accounts()) is Reason.STORE_UNAVAILABLE
    assert await refused(service.client.login("ana", "x")) is Reason.STORE_UNAVAILABLE


async def test_a_failure_that_nobody_foresaw_tells_a_number_and_nothing_else(
    service: Service,
) -> None:
    service.workers[0].failure = RuntimeError("secret of the house")
    with pytest.raises(ManagementError) as error:
        await service.admin.list_sessions()
    assert error.value.reason is Reason.INTERNAL
    assert "secret" not in error.value.text


async def test_a_worker_that_is_gone_takes_nobody_elses_sessions_with_it(service: Service) -> None:
    service.workers[0].failure = ServiceUnavailable("gone")
    service.workers[1].sessions = [session(1)]
    assert [it.id for it in await service.admin.list_sessions()] == ["1"]
    call = service.admin.disconnect(session_id="1")
    assert await refused(call) is Reason.SERVICE_UNAVAILABLE


async def test_keys_of_bearer_tokens_that_cannot_be_read_are_a_warning(
    service: Service, tmp_path: Path
) -> None:
    wanted = server_pb2.Settings(
        oauth_jwks=str(tmp_path / "none"), oauth_issuer="https://issuer.test", oauth_audience="us"
    )
    await service.admin.update_settings(wanted, ["oauth_jwks", "oauth_issuer", "oauth_audience"])
    await service.token_keys.look()
    warning = "token keys: No such file or directory"
    assert warning in (await service.admin.get_status()).warnings
    await service.admin.update_settings(server_pb2.Settings(), ["oauth_jwks"])
    assert warning not in (await service.admin.get_status()).warnings


@pytest.mark.parametrize("source", ["keys.json", "http://issuer.test/keys"])
async def test_keys_of_bearer_tokens_come_from_a_whole_path_or_in_tls(
    service: Service, source: str
) -> None:
    with pytest.raises(ManagementError) as error:
        await service.admin.update_settings(server_pb2.Settings(oauth_jwks=source), ["oauth_jwks"])
    assert error.value.reason is Reason.INVALID_ARGUMENT


async def test_status_tells_until_when_the_management_port_can_speak_tls(
    service: Service,
) -> None:
    status = await service.admin.get_status()
    assert not status.HasField("management_certificate_not_after_time")
    before = list(status.warnings)
    for days, told in ((15, []), (13, ["expires"]), (-1, ["has expired"])):
        end = service.clock.now() + timedelta(days=days)
        service.management_certificate_end = end
        status = await service.admin.get_status()
        assert status.management_certificate_not_after_time.ToDatetime(UTC) == end
        assert list(status.warnings) == before + [
            f"the management port's certificate {it} on {end.date().isoformat()}" for it in told
        ]
