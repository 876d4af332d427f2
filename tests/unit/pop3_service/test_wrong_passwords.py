from __future__ import annotations

from pop3_service.supervisor.defence.wrong_passwords import EACH, WrongPasswords

NETWORK = "192.0.2.0/24"


def test_the_same_wrong_password_is_known_again() -> None:
    wrong = WrongPasswords()
    assert not wrong.seen("ana", NETWORK, b"old")
    assert all(wrong.seen("ana", NETWORK, b"old") for _ in range(10))


def test_another_account_network_or_password_is_another() -> None:
    wrong = WrongPasswords()
    wrong.seen("ana", NETWORK, b"old")
    assert not wrong.seen("eva", NETWORK, b"old")
    assert not wrong.seen("ana", "192.0.3.0/24", b"old")
    assert not wrong.seen("ana", NETWORK, b"older")
    assert not wrong.seen("ana", NETWORK, b"")


def test_the_last_few_are_kept_and_one_that_comes_again_is_one_of_the_last() -> None:
    wrong = WrongPasswords()
    for number in range(EACH):
        wrong.seen("ana", NETWORK, b"%d" % number)
    assert wrong.seen("ana", NETWORK, b"0")
    assert not wrong.seen("ana", NETWORK, b"new")
    assert wrong.seen("ana", NETWORK, b"0")
    assert not wrong.seen("ana", NETWORK, b"1")


def test_so_many_pairs_are_remembered_and_no_more() -> None:
    wrong = WrongPasswords(limit=3)
    for number in range(10):
        wrong.seen(f"u{number}", NETWORK, b"old")
    assert len(wrong) == 3
    assert wrong.seen("u9", NETWORK, b"old")
    assert not wrong.seen("u0", NETWORK, b"old")


def test_no_password_is_kept() -> None:
    wrong = WrongPasswords()
    wrong.seen("ana", NETWORK, b"a long secret of somebody")
    kept = b"".join([*wrong._seen, *wrong._seen.values()])
    assert len(kept) == 16
    assert WrongPasswords()._hash(b"x") != wrong._hash(b"x")
