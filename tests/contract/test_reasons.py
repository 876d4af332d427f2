"""Every reason has its answer at every edge."""

from __future__ import annotations

import re

import grpc
import pytest

from admin_cli.exit_codes import EXIT_CODES, MEANINGS
from pop3_service.domain import errors
from pop3_service.worker.errors import TOLD
from pop3mgmt.errors import DOMAIN, STATUS, ManagementError, from_rpc_error, to_status
from pop3mgmt.reasons import Reason


def rpc_error(
    code: grpc.StatusCode, text: str, *metadata: tuple[str, str | bytes]
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), text)


def test_every_reason_has_a_grpc_status() -> None:
    assert STATUS.keys() == set(Reason)
    assert grpc.StatusCode.OK not in STATUS.values()
    assert grpc.StatusCode.UNKNOWN not in STATUS.values()


def test_every_reason_has_a_pop3_response_code_or_none_on_purpose() -> None:
    assert TOLD.keys() == set(Reason)
    codes = {code for _, code in TOLD.values()}
    assert codes <= {None, "AUTH", "IN-USE", "SYS/TEMP", "SYS/PERM", "LOGIN-DELAY"}


def test_every_reason_has_an_exit_code_with_a_meaning() -> None:
    assert EXIT_CODES.keys() == set(Reason)
    assert set(EXIT_CODES.values()) <= MEANINGS.keys()
    assert 0 not in EXIT_CODES.values()


def test_every_reason_has_an_scmp_answer() -> None:
    from scmp_gateway.errors import CODE

    assert CODE.keys() == set(Reason)
    assert all(re.fullmatch("[A-Z]+(-[A-Z]+)*", code) for code in CODE.values())


def test_every_failure_of_the_service_has_a_reason_of_its_own() -> None:
    kinds = errors.ServiceError.__subclasses__()
    reasons = [kind.reason for kind in kinds]
    assert len(set(reasons)) == len(reasons)
    assert Reason.INTERNAL not in reasons


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_comes_back_as_it_was_sent(reason: Reason) -> None:
    status = to_status(reason, "a text: é")
    assert status.code is STATUS[reason]
    told = from_rpc_error(rpc_error(status.code, "a text: é", *status.trailing_metadata))
    assert (told.reason, told.text, str(told)) == (reason, "a text: é", "a text: é")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.name != "OK"])
def test_a_status_without_a_reason_still_becomes_one(code: grpc.StatusCode) -> None:
    told = from_rpc_error(rpc_error(code, "text"))
    assert isinstance(told, ManagementError)
    if code.name in Reason.__members__:
        assert told.reason == code.name


def test_a_reason_of_another_domain_is_not_ours() -> None:
    status = to_status(Reason.LAST_ADMIN, "x")
    [(key, value)] = status.trailing_metadata
    assert isinstance(value, bytes)
    foreign = value.replace(DOMAIN.encode(), b"x" * len(DOMAIN))
    told = from_rpc_error(rpc_error(grpc.StatusCode.UNAVAILABLE, "x", (key, foreign)))
    assert told.reason is Reason.SERVICE_UNAVAILABLE
