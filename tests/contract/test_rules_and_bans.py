"""Address rules, bans and suspensions over gRPC: who may set them, and what they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from contract.service import ADMIN_PASSWORD, GATEWAY_SECRET, Service, session
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import access_pb2
from pop3mgmt.v1.access_pb2 import AddressRule
from pop3mgmt.v1.audit_pb2 import AuditFilter
from unit.pop3_service.clock import FakeClock

HERE = "127.0.0.1"
"""Where these tests come from."""
ELSEWHERE = "198.51.100.0/24"


def rule(effect: str, network: str, subject: str = "", **more: object) -> AddressRule:
    value = AddressRule.Effect.Value(f"EFFECT_{effect.upper()}")
    return AddressRule(effect=value, network=network, subject=subject, **more)


async def refused(call: object) -> Reason:
    with pytest.raises(ManagementError) as error:
        await call  # type: ignore[misc]
    return error.value.reason


async def role_caller(service: Service, role: str, name: str = "olga") -> Caller:
    await service.admin.create_account(name, "secret", role)
    return await service.client.login(name, "secret")


# --- rules --------------------


async def test_a_rule_is_told_as_it_is_stored(service: Service) -> None:
    made, ended = await service.admin.create_rule(
        rule("deny", "::ffff:198.51.100.0/120", note=" the lab ")
    )
    assert ended == 0
    assert (made.network, made.subject, made.note) == (ELSEWHERE, "everyone", "the lab")
    assert made.kind == access_pb2.ACCESS_KIND_BOTH
    assert made.set_by == "default"
    assert await service.admin.list_rules() == [made]
    assert all(len(worker.access.rules) == 1 for worker in service.workers)
    was, _ = await service.admin.delete_rule(made.id)
    assert was == made
    assert await service.admin.list_rules() == []
    assert all(worker.access.rules == () for worker in service.workers)
    assert await refused(service.admin.delete_rule(made.id)) is Reason.RULE_NOT_FOUND


async def test_a_rule_ends_the_sessions_that_it_denies(service: Service) -> None:
    service.workers[0].sessions = [session(1, "default"), session(2)]
    _, ended = await service.admin.create_rule(rule("deny", "192.0.2.0/24"))
    assert ended == 2


async def test_an_id_is_never_used_again(service: Service) -> None:
    first, _ = await service.admin.create_rule(rule("deny", ELSEWHERE))
    await service.admin.delete_rule(first.id)
    second, _ = await service.admin.create_rule(rule("deny", ELSEWHERE))
    assert second.id > first.id


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (rule("deny", "198.51.100.1/24"), Reason.INVALID_ARGUMENT),
        (rule("deny", "nonsense"), Reason.INVALID_ARGUMENT),
        (AddressRule(network=ELSEWHERE), Reason.INVALID_ARGUMENT),
        (rule("deny", ELSEWHERE, "everybody"), Reason.INVALID_ARGUMENT),
        (rule("deny", ELSEWHERE, "role:nobody"), Reason.INVALID_ARGUMENT),
        (rule("deny", ELSEWHERE, "account:nobody"), Reason.ACCOUNT_NOT_FOUND),
        (rule("deny", ELSEWHERE, note="x" * 501), Reason.INVALID_ARGUMENT),
        (rule("deny", ELSEWHERE, note="a\x1b[2J"), Reason.INVALID_ARGUMENT),
        (rule("deny", ELSEWHERE, kind=9), Reason.INVALID_ARGUMENT),
    ],
)
async def test_what_is_no_rule_is_refused(
    service: Service, wanted: AddressRule, reason: Reason
) -> None:
    assert await refused(service.admin.create_rule(wanted)) is reason
    assert await service.admin.list_rules() == []


async def test_the_same_rule_is_not_made_twice(service: Service) -> None:
    await service.admin.create_rule(rule("deny", ELSEWHERE))
    again = service.admin.create_rule(rule("deny", "::ffff:198.51.100.0/120"))
    assert await refused(again) is Reason.INVALID_ARGUMENT


@pytest.mark.attack(58, "bans")
@pytest.mark.parametrize("network", [HERE, "127.0.0.0/8", f"::ffff:{HERE}", "0.0.0.0/0"])
async def test_who_would_lock_himself_out_has_to_force_it(service: Service, network: str) -> None:
    for subject in ("everyone", "role:admin", "account:default"):
        call = service.admin.create_rule(rule("deny", network, subject))
        assert await refused(call) is Reason.WOULD_LOCK_OUT
    assert await refused(service.admin.ban(network)) is Reason.WOULD_LOCK_OUT
    assert await service.admin.list_rules() == await service.admin.list_bans() == []
    # What is about POP3 alone keeps nobody from managing.
    only_pop3 = rule("deny", network, kind=access_pb2.ACCESS_KIND_POP3)
    await service.admin.create_rule(only_pop3)
    await service.admin.ban(network, force=True)
    assert await refused(service.admin.list_bans()) is Reason.ADDRESS_DENIED
    login = service.client.login("default", ADMIN_PASSWORD)
    assert await refused(login) is Reason.ADDRESS_DENIED


async def test_a_rule_that_lets_the_caller_in_stays_unless_forced(service: Service) -> None:
    allow, _ = await service.admin.create_rule(rule("allow", HERE, "role:admin"))
    await service.admin.create_rule(rule("deny", "0.0.0.0/0"))
    assert await refused(service.admin.delete_rule(allow.id)) is Reason.WOULD_LOCK_OUT
    assert await service.admin.list_accounts()
    await service.admin.delete_rule(allow.id, force=True)
    assert await refused(service.admin.list_accounts()) is Reason.ADDRESS_DENIED


async def test_pages_of_rules_hold_them_all(service: Service) -> None:
    for number in range(5):
        await service.admin.create_rule(rule("deny", f"198.51.100.{number}"))
    stub = service.admin._access
    request = access_pb2.ListRulesRequest(page_size=2)
    page = await stub.ListRules(request, metadata=service.admin._metadata)
    assert (len(page.rules), page.total_count, page.next_page_token) == (2, 5, "2")
    assert len(await service.admin.list_rules()) == 5


# --- bans --------------------


async def test_a_ban_is_listed_with_who_set_it_and_why(service: Service) -> None:
    made, _ = await service.admin.ban("198.51.100.0/24", "guesses passwords", 3600)
    assert made.set_by == "default"
    assert made.reason == "guesses passwords"
    assert made.end_time.seconds - made.set_time.seconds == 3600
    assert await service.admin.list_bans() == [made]
    # A second one of the same network takes its place.
    again, _ = await service.admin.ban("::ffff:198.51.100.0/120")
    assert not again.HasField("end_time")
    assert await service.admin.list_bans() == [again]
    assert await service.admin.lift_ban(ELSEWHERE) == again
    assert await service.admin.list_bans() == []
    assert await refused(service.admin.lift_ban(ELSEWHERE)) is Reason.BAN_NOT_FOUND


@pytest.mark.parametrize("seconds", [0, -1, 101 * 366 * 86400])
async def test_a_duration_is_positive_and_no_eternity(service: Service, seconds: float) -> None:
    call = service.admin.ban(ELSEWHERE, duration_s=seconds)
    assert await refused(call) is Reason.INVALID_ARGUMENT


async def test_a_ban_and_a_suspension_end_by_themselves(service: Service, clock: FakeClock) -> None:
    clock.waits = True
    user = await service.user()
    await service.admin.ban(ELSEWHERE, duration_s=60)
    await service.admin.suspend_account("ana", duration_s=30)
    await service.admin.ban("203.0.113.0/24")
    assert await refused(user.list_sessions()) is Reason.INVALID_CREDENTIALS
    clock.move(29)
    assert await refused(service.client.login("ana", "secret")) is Reason.ACCOUNT_SUSPENDED
    clock.move(1)
    assert await service.client.login("ana", "secret")
    last = service.workers[-1]
    await last.until_access(lambda table: not table.suspensions)
    assert len(await service.admin.list_bans()) == 2
    clock.move(30)
    await last.until_access(lambda table: len(table.bans) == 1)
    assert service.workers[0].access.suspensions == ()
    assert [it.network for it in await service.admin.list_bans()] == ["203.0.113.0/24"]
    assert await service.admin.list_suspensions() == []


async def test_what_many_clients_have_in_common_is_banned_by_force_alone(
    service: Service,
) -> None:
    for network in ("192.0.2.7", "192.0.0.0/16"):  # the contract's service shares 192.0.2.0/24
        assert await refused(service.admin.ban(network)) is Reason.WOULD_LOCK_OUT
        await service.admin.ban(network, force=True)


async def test_bans_and_rules_are_there_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    async with Service(tmp_path, clock).running() as service:
        await service.admin.create_account("ana", "secret")
        rules = [(await service.admin.create_rule(rule("deny", ELSEWHERE, note="n")))[0]]
        bans = [(await service.admin.ban("203.0.113.0/24", "r", 60))[0]]
        suspensions = [(await service.admin.suspend_account("ana", "r"))[0]]
    async with Service(tmp_path, clock).running() as service:
        assert await service.admin.list_rules() == rules
        assert await service.admin.list_bans() == bans
        assert await service.admin.list_suspensions() == suspensions


# --- suspensions --------------------


@pytest.mark.attack(25, "suspended")
@pytest.mark.attack(17)
async def test_a_suspended_account_is_told_so_with_the_right_password_alone(
    service: Service,
) -> None:
    user = await service.user()
    service.workers[0].sessions = [session(1, "ana"), session(2, "default")]
    made, ended = await service.admin.suspend_account("ana", "has left")
    assert ended == 1
    assert (made.account_name, made.reason) == ("ana", "has left")
    assert [it.id for it in service.workers[0].sessions] == ["2"]
    assert await refused(user.list_sessions()) is Reason.INVALID_CREDENTIALS
    with pytest.raises(ManagementError) as error:
        await service.client.login("ana", "secret")
    assert error.value.reason is Reason.ACCOUNT_SUSPENDED
    assert "has left" not in error.value.text
    wrong = [await _text_of(service.client.login(it, "wrong")) for it in ("ana", "nobody")]
    assert wrong[0] == wrong[1]
    await service.admin.resume_account("ana")
    assert await service.client.login("ana", "secret")
    assert await refused(service.admin.resume_account("ana")) is Reason.BAN_NOT_FOUND


async def _text_of(call: object) -> tuple[Reason, str]:
    with pytest.raises(ManagementError) as error:
        await call  # type: ignore[misc]
    return error.value.reason, error.value.text


async def test_the_last_admin_cannot_be_suspended_not_even_by_force(service: Service) -> None:
    for force in (False, True):
        call = service.admin.suspend_account("default", force=True)
        assert await refused(call) is Reason.LAST_ADMIN, force
    assert await service.admin.list_accounts()
    second = await role_caller(service, "admin")
    own = service.admin.suspend_account("default")
    assert await refused(own) is Reason.WOULD_LOCK_OUT
    await second.suspend_account("default")
    # One that is suspended is no admin who is left.
    assert await refused(second.suspend_account("olga", force=True)) is Reason.LAST_ADMIN
    assert await refused(second.delete_account("olga")) is Reason.LAST_ADMIN
    assert await refused(second.set_role("olga", "user")) is Reason.LAST_ADMIN
    await second.resume_account("default")
    await second.delete_account("default")


async def test_an_account_made_anew_is_not_suspended(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    await service.admin.suspend_account("ana")
    await service.admin.delete_account("ana")
    assert await service.admin.list_suspensions() == []
    await service.admin.create_account("ana", "secret")
    assert await service.client.login("ana", "secret")


async def test_who_is_not_there_cannot_be_suspended(service: Service) -> None:
    assert await refused(service.admin.suspend_account("nobody")) is Reason.ACCOUNT_NOT_FOUND
    assert await refused(service.admin.resume_account("nobody")) is Reason.ACCOUNT_NOT_FOUND


# --- nobody climbs --------------------


async def test_an_operator_suspends_users_and_no_admin(service: Service) -> None:
    operator = await role_caller(service, "operator")
    await service.admin.create_account("ana", "secret")
    await operator.suspend_account("ana")
    await operator.resume_account("ana")
    call = operator.suspend_account("default", force=True)
    assert await refused(call) is Reason.PERMISSION_DENIED
    assert await refused(operator.create_rule(rule("deny", ELSEWHERE))) is Reason.PERMISSION_DENIED


async def test_an_operator_bans_no_network_that_an_admin_works_from(service: Service) -> None:
    operator = await role_caller(service, "operator")
    await operator.ban(ELSEWHERE)
    assert await refused(operator.ban(HERE)) is Reason.PERMISSION_DENIED
    assert await refused(operator.ban(HERE, force=True)) is Reason.PERMISSION_DENIED
    assert await service.admin.list_bans()


async def test_an_admin_who_has_just_logged_in_works_from_there_already(service: Service) -> None:
    operator = await role_caller(service, "operator")
    await service.client.login("default", ADMIN_PASSWORD)
    assert await refused(operator.ban(HERE, force=True)) is Reason.PERMISSION_DENIED


async def test_an_automation_token_bans_a_network_that_a_user_was_seen_in(
    service: Service,
) -> None:
    await service.admin.create_account("ana", "secret")
    async with ManagementClient(service.target, gateway_secret=lambda: GATEWAY_SECRET) as gateway:
        ana = await gateway.login("ana", "secret", client_address="198.51.100.7:5000")
        await ana.get_caller()
        made = await service.admin.create_token("watch", "operator")
        await service.client.caller(made.secret).ban(ELSEWHERE)


async def test_whoever_makes_rules_makes_none_for_more_rights_than_he_has(
    service: Service,
) -> None:
    await service.admin.create_role("ruler", ["own", "rules.read", "rules.write"])
    ruler = await role_caller(service, "ruler")
    await ruler.create_rule(rule("deny", ELSEWHERE, "role:user"))
    for subject in ("role:admin", "account:default"):
        call = ruler.create_rule(rule("allow", ELSEWHERE, subject))
        assert await refused(call) is Reason.PERMISSION_DENIED
    made, _ = await service.admin.create_rule(rule("allow", ELSEWHERE, "role:admin"))
    assert await refused(ruler.delete_rule(made.id)) is Reason.PERMISSION_DENIED


async def test_a_user_sees_and_sets_nothing_of_this(service: Service) -> None:
    user = await service.user()
    for call in (
        user.list_rules(),
        user.list_bans(),
        user.list_suspensions(),
        user.create_rule(rule("deny", ELSEWHERE)),
        user.delete_rule(1),
        user.ban(ELSEWHERE),
        user.lift_ban(ELSEWHERE),
        user.suspend_account("ana"),
        user.resume_account("ana"),
        user.explain_access("192.0.2.1"),
    ):
        assert await refused(call) is Reason.PERMISSION_DENIED


# --- WHY --------------------


async def test_why_says_what_decides(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    ban, _ = await service.admin.ban(ELSEWHERE, "guesses passwords", 60)
    made, _ = await service.admin.create_rule(
        rule("allow", "198.51.100.7", "account:ana", kind=access_pb2.ACCESS_KIND_POP3)
    )
    told = await service.admin.explain_access("198.51.100.7", "ana")
    assert told.role == "user"
    pop3, management = told.verdicts
    assert (pop3.kind, management.kind) == (
        access_pb2.ACCESS_KIND_POP3,
        access_pb2.ACCESS_KIND_MANAGEMENT,
    )
    assert not pop3.allowed
    assert not management.allowed
    assert [it.ban or it.rule for it in pop3.grounds][:1] == [ban]
    assert pop3.grounds[1].rule == made
    assert len(management.grounds) == 1
    await service.admin.lift_ban(ELSEWHERE)
    told = await service.admin.explain_access("198.51.100.7")
    assert all(it.allowed for it in told.verdicts)
    assert told.verdicts[0].other_rules == [made]


async def test_why_of_an_account_tells_its_suspension_and_its_rules(service: Service) -> None:
    await service.admin.create_account("ana", "secret")
    made, _ = await service.admin.create_rule(rule("deny", ELSEWHERE, "account:ana"))
    told = await service.admin.explain_access(account_name="ana")
    assert all(it.allowed for it in told.verdicts)
    assert told.verdicts[0].other_rules == [made]
    suspension, _ = await service.admin.suspend_account("ana", "has left")
    told = await service.admin.explain_access(account_name="ana")
    assert not any(it.allowed for it in told.verdicts)
    assert told.verdicts[1].grounds[0].suspension == suspension


async def test_why_asks_about_something_that_is_there(service: Service) -> None:
    assert await refused(service.admin.explain_access()) is Reason.INVALID_ARGUMENT
    assert await refused(service.admin.explain_access("300.1.2.3")) is Reason.INVALID_ARGUMENT
    call = service.admin.explain_access(account_name="nobody")
    assert await refused(call) is Reason.ACCOUNT_NOT_FOUND


# --- a restore --------------------


async def test_a_restore_brings_back_the_rules_of_then(service: Service) -> None:
    made, _ = await service.admin.create_rule(rule("deny", ELSEWHERE))
    backup = await service.admin.create_backup()
    await service.admin.delete_rule(made.id)
    await service.admin.ban("203.0.113.0/24")
    await service.admin.restore_backup(backup.name)
    assert [worker.access.rules[0].network for worker in service.workers] == [ELSEWHERE] * 2
    admin = await service.client.login("default", ADMIN_PASSWORD)
    assert await admin.list_rules() == [made]
    assert await admin.list_bans() == []


# --- the audit --------------------


async def test_the_audit_tells_what_was_done_and_what_was_refused(service: Service) -> None:
    await service.admin.ban(ELSEWHERE, "guesses passwords")
    await refused(service.admin.ban(HERE))
    meant = AuditFilter(action="access.create_ban")
    entries = [it async for it in service.admin.list_audit_entries(meant)]
    assert {(it.target, it.outcome) for it in entries} == {
        (ELSEWHERE, "ok"),
        (f"{HERE}/32", "WOULD_LOCK_OUT"),
    }
