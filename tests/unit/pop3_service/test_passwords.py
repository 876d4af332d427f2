from __future__ import annotations

import pytest

from pop3_service.domain.account import Account, AccountName
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.passwords import (
    MAX_OCTETS,
    RANDOM_LENGTH,
    check_new_password,
    prepare_password,
    random_password,
)
from pop3_service.domain.rights import RoleName
from unit.pop3_service.clock import FakeClock


def test_composed_and_decomposed_spellings_are_one_password() -> None:
    assert prepare_password("contraseñá".encode()) == prepare_password(
        "contrasen\u0303a\u0301".encode()
    )


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a\x07b", "\u0627\u0031".encode()])
def test_a_password_that_cannot_be_prepared_counts_octet_for_octet(raw: bytes) -> None:
    assert prepare_password(raw) == raw


def test_blanks_in_a_password_are_kept() -> None:
    assert prepare_password(b"  two words  ") == b"  two words  "


@pytest.mark.parametrize("raw", [b"", b"x" * (MAX_OCTETS + 1), b"a\0b", b"a\rb", b"a\nb"])
def test_a_password_that_pop3_cannot_send_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument):
        check_new_password(raw)


@pytest.mark.parametrize("raw", [b"x", b"x" * MAX_OCTETS, b" ", b"\xff"])
def test_any_other_password_is_taken(raw: bytes) -> None:
    check_new_password(raw)


def test_random_passwords_differ_and_can_be_set() -> None:
    made = {random_password() for _ in range(1000)}
    assert len(made) == 1000
    for password in made:
        assert len(password) == RANDOM_LENGTH
        check_new_password(password.encode())


def test_an_account_does_not_print_its_hash() -> None:
    account = Account(AccountName("a"), RoleName.USER, "$argon2id$secret", FakeClock().now())
    assert "argon2id" not in repr(account)
