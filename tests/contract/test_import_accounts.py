"""Accounts that move in with their password hashes, over the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

import grpc
import pytest
import structlog

from contract.service import Service
from pop3mgmt.errors import ManagementError, from_rpc_error
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import accounts_pb2
from pop3mgmt.v1.accounts_pb2 import (
    IMPORT_OUTCOME_EXISTS as EXISTS,
)
from pop3mgmt.v1.accounts_pb2 import (
    IMPORT_OUTCOME_IMPORTED as IMPORTED,
)
from pop3mgmt.v1.accounts_pb2 import (
    IMPORT_OUTCOME_REFUSED as REFUSED,
)
from pop3mgmt.v1.server_pb2 import Settings
from unit.pop3_service.test_old_hashes import MADE_BY_DOVECOT, SHA256, SHA512

MIB = 2**20


async def refused(call: Awaitable[Any]) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call
    return error.value.reason


async def stored(service: Service, name: str) -> str:
    account = await service.authenticator._accounts.get(name)
    assert account is not None
    return account.password_hash


def file(*lines: str) -> list[bytes]:
    return ["".join(f"{line}\n" for line in lines).encode()]


async def names(service: Service) -> list[str]:
    return [account.name for account in await service.admin.list_accounts()]


async def test_everybody_logs_in_with_the_old_password_and_is_hashed_anew(
    service: Service,
) -> None:
    users = {scheme.lower(): hashed for scheme, hashed in MADE_BY_DOVECOT.items()}
    lines = [f"{name}:{hashed}:::::" for name, hashed in users.items()]
    told = await service.admin.import_accounts(file(*lines, "clear:{PLAIN}secret"))
    assert {line.outcome for line in told} == {IMPORTED}
    assert [line.scheme for line in told] == [*MADE_BY_DOVECOT, "PLAIN"]
    assert (await stored(service, "clear")).startswith("$argon2id$v=19$m=8,t=1,p=1$")
    for name, hashed in users.items():
        assert (await stored(service, name)).endswith(hashed)
        assert await refused(service.client.login(name, "wrong")) is Reason.INVALID_CREDENTIALS
        assert (await stored(service, name)).endswith(hashed)
    for name in [*users, "clear"]:
        for _ in range(2):
            await service.client.login(name, "secret")
            assert (await stored(service, name)).startswith("$argon2id$v=19$m=8,t=1,p=1$")
        assert await refused(service.client.login(name, "wrong")) is Reason.INVALID_CREDENTIALS


async def test_two_first_logins_at_once_both_come_in(service: Service) -> None:
    await service.admin.import_accounts(file(f"ana:{SHA512}"))
    await asyncio.gather(*(service.client.login("ana", "secret") for _ in range(5)))
    assert (await stored(service, "ana")).startswith("$argon2id$")


async def test_the_owner_of_an_old_password_can_change_it(service: Service) -> None:
    await service.admin.import_accounts(file(f"ana:{SHA256}"))
    ana = await service.client.login("ana", "secret")
    await ana.change_password("secret", "another")
    await service.client.login("ana", "another")
    assert await refused(service.client.login("ana", "secret")) is Reason.INVALID_CREDENTIALS


async def test_a_dry_run_tells_the_same_and_makes_nothing(service: Service) -> None:
    await service.admin.create_account("there", "own")
    lines = file(
        f"ana:{SHA512}",
        "# a comment",
        "there:{PLAIN}other",
        "eva:{MD5}abc",
        f"ana:{SHA256}",
        f"a/b:{SHA512}",
        f".dot:{SHA512}",
        "empty:{PLAIN}",
        "broken",
        "x" * 3000 + f":{SHA512}",
    )
    with structlog.testing.capture_logs() as logs:
        told = await service.admin.import_accounts(lines, dry_run=True)
        assert await names(service) == ["default", "there"]
        done = await service.admin.import_accounts(lines)
    assert told == done
    assert [(line.number, line.outcome) for line in done] == [
        (1, IMPORTED),
        (3, EXISTS),
        *((number, REFUSED) for number in range(4, 11)),
    ]
    assert "scheme MD5 is not taken" in done[2].why
    assert done[3].why == "line 1 has this name already"
    assert await names(service) == ["ana", "default", "there"]
    await service.client.login("there", "own")
    assert "oEAt" not in str(logs)
    [line] = [it for it in logs if it["event"] == "accounts imported"]
    assert (line["imported"], line["exists"], line["refused"]) == (1, 1, 7)


async def test_a_second_import_changes_no_password(service: Service) -> None:
    lines = file(f"ana:{SHA512}")
    await service.admin.import_accounts(lines)
    ana = await service.client.login("ana", "secret")
    await ana.change_password("secret", "another")
    [again] = await service.admin.import_accounts(lines)
    assert again.outcome == EXISTS
    await service.client.login("ana", "another")


async def test_too_many_accounts_are_all_refused_or_none(service: Service) -> None:
    await service.admin.update_settings(Settings(max_accounts=3), ["max_accounts"])
    lines = [f"u{number}:{SHA512}" for number in range(3)]
    for dry_run in (True, False):
        call = service.admin.import_accounts(file(*lines), dry_run=dry_run)
        assert await refused(call) is Reason.ACCOUNT_LIMIT
    assert await names(service) == ["default"]
    await service.admin.import_accounts(file(*lines[:2]))
    assert await names(service) == ["default", "u0", "u1"]
    # What is there already needs no room.
    assert len(await service.admin.import_accounts(file(*lines[:2]))) == 2


async def test_a_domain_is_added_to_names_without_one(service: Service) -> None:
    lines = file(f"ana:{SHA512}", f"eva@example.net:{SHA512}")
    told = await service.admin.import_accounts(lines, default_domain="example.org")
    assert [line.name for line in told] == ["ana@example.org", "eva@example.net"]
    await service.client.login("ana@example.org", "secret")


async def test_a_file_of_many_accounts_is_imported_whole(service: Service) -> None:
    await service.admin.update_settings(Settings(max_accounts=5000), ["max_accounts"])
    content = b"".join(b"u%d:%b:::::\n" % (at, SHA512.encode()) for at in range(3000))
    pieces = (content[at : at + 70_001] for at in range(0, len(content), 70_001))
    told = await service.admin.import_accounts(pieces)
    assert [line.number for line in told] == list(range(1, 3001))
    assert len(await names(service)) == 3001


async def test_what_is_no_such_file_is_refused(service: Service) -> None:
    assert await service.admin.import_accounts([]) == []
    told = await service.admin.import_accounts([b"\0\xff\n" * 10])
    assert {line.outcome for line in told} == {REFUSED}

    async def raw(*requests: accounts_pb2.ImportAccountsRequest) -> Reason:
        metadata = service.admin._metadata
        with pytest.raises(grpc.aio.AioRpcError) as error:
            async for _ in service.admin._accounts.ImportAccounts(
                iter(requests), metadata=metadata
            ):
                pass
        return from_rpc_error(error.value).reason

    request = accounts_pb2.ImportAccountsRequest
    assert await raw() is Reason.INVALID_ARGUMENT
    assert await raw(request(chunk=b"x")) is Reason.INVALID_ARGUMENT
    large = request(source=1, chunk=b"x" * (MIB + 1))
    assert await raw(large) is Reason.INVALID_ARGUMENT
    full = [request(source=1, chunk=b"#" * MIB) for _ in range(65)]
    assert await raw(*full) is Reason.INVALID_ARGUMENT


async def test_only_an_admin_imports_accounts(service: Service) -> None:
    eva = await service.user("eva")
    assert await refused(eva.import_accounts(file(f"ana:{SHA512}"))) is Reason.PERMISSION_DENIED
    assert await names(service) == ["default", "eva"]
