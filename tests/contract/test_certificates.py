"""Certificates over the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, timedelta
from pathlib import Path

import grpc
import pytest

from contract.service import Service
from pop3mgmt.errors import ManagementError, from_rpc_error
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import server_pb2
from support.certificates import Issued, authority
from unit.pop3_service.clock import FakeClock

DAY = timedelta(days=1)


def issue(clock: FakeClock, *names: str) -> Issued:
    return authority().issue(*names, start=clock.now() - DAY)


@pytest.fixture
async def secured(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Service]:
    """A service with a certificate for another host, and one for its own."""
    issue(clock, "a.example", "*.a.example").write(tmp_path / "tls/a")
    issue(clock, "mail.example").write(tmp_path / "tls/b")
    async with Service(tmp_path, clock).running() as running:
        yield running


async def test_without_certificates_the_list_is_empty_and_a_reload_refused(
    service: Service,
) -> None:
    assert await service.admin.list_certificates() == []
    assert not (await service.admin.get_status()).certificates
    with pytest.raises(ManagementError, match="TLS is off") as refused:
        await service.admin.reload_certificates()
    assert refused.value.reason is Reason.CERTIFICATE_INVALID


async def test_certificates_are_listed_the_default_first(
    secured: Service, clock: FakeClock
) -> None:
    own, other = await secured.admin.list_certificates()
    assert list(own.names) == ["mail.example"]
    assert list(other.names) == ["a.example", "*.a.example"]
    assert (own.is_default, other.is_default) == (True, False)
    assert own.not_before_time.ToDatetime(UTC) == clock.now() - DAY
    assert own.not_after_time.ToDatetime(UTC) == clock.now() + 89 * DAY
    assert own.issuer == "CN=Intermediate"
    assert not own.self_signed
    assert own.source_file == str(secured.folder / "tls/b/fullchain.pem")
    assert own.fingerprint.count(":") == 31
    status = await secured.admin.get_status()
    assert list(status.certificates) == [own, other]


async def test_certificates_come_in_pages(secured: Service) -> None:
    call = secured.admin._server.ListCertificates
    metadata = secured.admin._metadata
    request = server_pb2.ListCertificatesRequest(page_size=1)
    first = await call(request, metadata=metadata)
    assert (len(first.certificates), first.total_count) == (1, 2)
    request.page_token = first.next_page_token
    second = await call(request, metadata=metadata)
    assert second.certificates[0].names[0] == "a.example"
    assert second.next_page_token == ""


async def test_a_reload_is_in_force_on_every_worker_when_it_is_answered(
    secured: Service, clock: FakeClock
) -> None:
    new = issue(clock, "mail.example")
    new.write(secured.folder / "tls/b")
    told = await secured.admin.reload_certificates()
    assert told == await secured.admin.list_certificates()
    for worker in secured.workers:
        assert worker.certificates[0] == new.pair
        assert len(worker.certificates) == 2


async def test_a_bad_pair_is_refused_with_its_reason_and_the_old_one_stays(
    secured: Service, clock: FakeClock
) -> None:
    before = secured.workers[0].certificates
    (secured.folder / "tls/b/privkey.pem").write_bytes(issue(clock, "x.example").key)
    call = secured.admin._server.ReloadCertificates
    request = server_pb2.ReloadCertificatesRequest()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call(request, metadata=secured.admin._metadata)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    told = from_rpc_error(error.value)
    why = f"{secured.folder}/tls/b/fullchain.pem: the key does not belong to the certificate"
    assert (told.reason, told.text) == (Reason.CERTIFICATE_INVALID, why)
    for worker in secured.workers:
        assert worker.certificates == before
    assert why in (await secured.admin.get_status()).warnings


async def test_the_state_warns_of_a_certificate_that_ends(
    secured: Service, clock: FakeClock
) -> None:
    assert (await secured.admin.get_status()).warnings == []
    clock.move(timedelta(days=80).total_seconds())
    secured.admin = await secured.client.login("default", "the admin's own")
    warnings = (await secured.admin.get_status()).warnings
    assert list(warnings) == [
        "the certificate of mail.example expires in 9 days",
        "the certificate of a.example expires in 9 days",
    ]
