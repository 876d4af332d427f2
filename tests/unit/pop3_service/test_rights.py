import pytest

from pop3_service.api.methods import ACCESS, open_to
from pop3_service.domain.account import AccountName, Principal
from pop3_service.domain.errors import InvalidArgument, PermissionDenied
from pop3_service.domain.rights import BUILT_IN, Right, RoleName, parse_rights, parse_role_name


def test_each_built_in_role_has_its_rights_and_the_admin_all() -> None:
    assert BUILT_IN.keys() == set(RoleName)
    assert BUILT_IN["admin"].rights == set(Right)
    assert BUILT_IN["user"].rights == {Right.OWN}
    auditor, operator = BUILT_IN["auditor"].rights, BUILT_IN["operator"].rights
    assert {it for it in auditor if not it.endswith(".read")} == {Right.OWN}
    assert Right.MAIL_READ not in auditor | operator
    changes = {it for it in operator if not it.endswith(".read")}
    assert changes == {Right.OWN, Right.SESSIONS_DISCONNECT, Right.BANS_WRITE}


def test_what_is_open_follows_the_rights() -> None:
    def may(*rights: Right) -> set[str]:
        return set(open_to(Principal(AccountName("x"), "some", frozenset(rights))))

    always = {"AuthService/RenewToken", "AuthService/Logout", "AuthService/GetCaller"}
    assert may() == always
    assert may(Right.ROLES_READ) == always | {"RolesService/ListRoles"}
    contract = {name for name, it in ACCESS.items() if "pop3mgmt" in name and not it.is_public}
    assert len(may(*Right)) == len(contract)


def test_nobody_governs_rights_that_he_lacks() -> None:
    operator = Principal(AccountName("x"), "operator", BUILT_IN["operator"].rights)
    operator.require_all(BUILT_IN["user"].rights, "this")
    with pytest.raises(PermissionDenied, match=r"this needs rights that you lack: accounts\.write"):
        operator.require_all(frozenset({Right.OWN, Right.ACCOUNTS_WRITE}), "this")


@pytest.mark.parametrize("name", ["a", "helpdesk", "night-shift-2", "a" * 16])
def test_a_role_has_a_plain_name(name: str) -> None:
    assert parse_role_name(name) == name


@pytest.mark.parametrize("name", ["", "2nd", "-a", "Admin", "a b", "a.b", "ñ", "a" * 17, "a\n"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_role_name(name)


def test_rights_are_read_by_name_and_none_at_all_is_no_role() -> None:
    assert parse_rights(["own", "own", "mail.read"]) == {Right.OWN, Right.MAIL_READ}
    with pytest.raises(InvalidArgument, match="at least one right"):
        parse_rights([])
    with pytest.raises(InvalidArgument, match=r"no right 'mail\.burn'; the role admin has all"):
        parse_rights(["own", "mail.burn"])
