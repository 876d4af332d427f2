"""A login in the dialogue: renewed by use, begun anew when it ends, faults under a number."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from lineproto.clock import SystemClock
from lineproto.followed import FollowedPair
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1.accounts_pb2 import Account
from pop3mgmt.v1.server_pb2 import Certificate, Status, TransformedMail, TransformStatus
from pop3mgmt.v1.transform_activations_pb2 import TRANSFORM_MODE_CANARY, TransformActivation
from pop3mgmt.v1.transforms_pb2 import Transform
from scmp_gateway.dialogue import ScmpDialogue
from scmp_gateway.security import Security
from support.certificates import authority

ENDED = ManagementError(Reason.INVALID_CREDENTIALS, "the login has ended; log in again")
AWAY = ManagementError(Reason.SERVICE_UNAVAILABLE, "the service cannot be reached")


def certificate(*names: str) -> Certificate:
    made = Certificate(names=names)
    made.not_after_time.FromDatetime(datetime(2026, 4, 1, 12))
    return made


class Login(Caller):
    """A login whose calls are answered here; what is an exception is raised."""

    def __init__(self, client: ManagementClient) -> None:
        super().__init__(client, "token")
        self.account = Account(name="default", role_name="admin")
        self.renewed: list[Exception | None] = []
        self.renewal: Exception | None = None
        self.certificates: Exception | list[Certificate] = []
        self.status: Exception | Status = Status(sent_bytes=7)
        self.restarted: Exception | int = 2
        self.take_expiry(datetime.now(UTC) + timedelta(hours=1))

    async def renew(self) -> datetime:
        self.renewed.append(self.renewal)
        if self.renewal:
            raise self.renewal
        self.take_expiry(datetime.now(UTC) + timedelta(hours=1))
        return datetime.now(UTC)

    async def reload_certificates(self) -> list[Certificate]:
        if isinstance(self.certificates, Exception):
            raise self.certificates
        return self.certificates

    async def restart_workers(self) -> int:
        if isinstance(self.restarted, Exception):
            raise self.restarted
        return self.restarted

    async def get_status(self) -> Status:
        if isinstance(self.status, Exception):
            raise self.status
        return self.status


class Client(ManagementClient):
    """A client whose login always succeeds."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", deadline_s=1.0)
        self.made = Login(self)

    async def login(self, name: str, password: str, *, client_address: str = "") -> Caller:
        return self.made


class Peer:
    """What a dialogue asks of its connection when it ends."""

    peer = "192.0.2.1:5"
    local = "192.0.2.2:1111"
    sent_bytes = 3
    is_tls = False
    via = None
    tls_version = ""


class Talk:
    """A dialogue that is logged in."""

    def __init__(self) -> None:
        self.client = Client()
        self.login = self.client.made
        self.ended: list[Caller | None] = []
        self.dialogue = ScmpDialogue(
            self.client,
            Peer(),
            "ready",
            600.0,
            full=False,
            security=Security(),
            on_end=self.ended.append,
        )

    async def ask(self, line: bytes) -> str:
        answer = self.dialogue.receive(line)
        return (answer if isinstance(answer, bytes) else await answer).decode().rstrip("\r\n")


@pytest.fixture
async def talk():
    made = Talk()
    await made.ask(b"USER default")
    assert await made.ask(b"PASS x") == "+OK logged in as default (admin)"
    yield made
    await made.client.close()


@pytest.mark.parametrize("command", [b"NOOP", b"BYTES_TRANS"])
async def test_a_login_is_renewed_by_use_once_half_of_its_life_is_over(
    talk: Talk, command: bytes
) -> None:
    assert (await talk.ask(command)).startswith("+OK")
    assert talk.login.renewed == []
    talk.login.take_expiry(datetime.now(UTC))
    assert (await talk.ask(command)).startswith("+OK")
    assert talk.login.renewed == [None]
    assert (await talk.ask(command)).startswith("+OK")
    assert talk.login.renewed == [None]


@pytest.mark.parametrize("command", [b"NOOP", b"BYTES_TRANS"])
async def test_a_login_that_cannot_be_renewed_has_ended(talk: Talk, command: bytes) -> None:
    talk.login.take_expiry(datetime.now(UTC))
    talk.login.renewal = ENDED
    assert await talk.ask(command) == "-ERR [AUTH] session ended, log in again"
    assert (await talk.ask(b"BYTES_TRANS")).startswith("-ERR [AUTH] log in first")
    await talk.ask(b"USER default")
    assert (await talk.ask(b"PASS x")).startswith("+OK logged in")


@pytest.mark.parametrize("command", [b"NOOP", b"BYTES_TRANS"])
async def test_a_login_lives_on_while_the_service_is_away(talk: Talk, command: bytes) -> None:
    talk.login.take_expiry(datetime.now(UTC))
    talk.login.renewal = AWAY
    assert await talk.ask(command) == "-ERR [UNAVAILABLE] the service cannot be reached"
    talk.login.renewal = None
    assert (await talk.ask(command)).startswith("+OK")


async def test_nobody_is_logged_out_because_the_service_went_away_meanwhile(talk: Talk) -> None:
    talk.login.status, talk.login.renewal = ENDED, AWAY
    assert await talk.ask(b"BYTES_TRANS") == "-ERR [AUTH] the login has ended; log in again"
    talk.login.status, talk.login.renewal = Status(sent_bytes=7), None
    assert await talk.ask(b"BYTES_TRANS") == "+OK 7 octets transmitted since start"


async def test_status_tells_each_certificate_before_the_warnings(talk: Talk) -> None:
    talk.login.status = Status(
        certificates=[certificate("mail.example", "*.mail.example"), certificate()],
        warnings=["mend this"],
    )
    assert (await talk.ask(b"STATUS")).splitlines()[-8:] == [
        "transform: off",
        "transforms-active: 0",
        "canaries-given-up: 0",
        "transform-isolation: -",
        "certificate: mail.example,*.mail.example until=2026-04-01T12:00:00Z",
        "certificate: - until=2026-04-01T12:00:00Z",
        "warning: mend this",
        ".",
    ]


async def test_status_tells_of_the_certificates_of_management(talk: Talk, tmp_path: Path) -> None:
    talk.login.status = Status()
    talk.login.status.management_certificate_not_after_time.seconds = 1_775_044_800
    assert (await talk.ask(b"STATUS")).splitlines()[-2:] == [
        "management-certificate: until=2026-04-01T12:00:00Z",
        ".",
    ]
    end = datetime(2036, 4, 1, 12, tzinfo=UTC)
    authority().issue("scmp.test", life=end - datetime.now(UTC)).write(tmp_path)
    own = FollowedPair("scmp", tmp_path / "fullchain.pem", tmp_path / "privkey.pem", SystemClock())
    await own.load()
    talk.dialogue._security = Security("allow", own)
    [told, _] = (await talk.ask(b"STATUS")).splitlines()[-2:]
    until = own.pair.not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert told == f"scmp-certificate: until={until}"
    assert until.startswith("2036-0")


async def test_status_tells_each_shadow_and_canary(talk: Talk) -> None:
    transform = Transform(name="banner", version=2, command_line="cat")
    canary = TransformActivation(
        subject="everyone", transform=transform, mode=TRANSFORM_MODE_CANARY, share_percent=10
    )
    talk.login.status = Status(
        transforms=TransformStatus(
            activation_count=3, given_up_canary_count=1, trials=[canary], isolation="Landlock ABI 7"
        )
    )
    told = (await talk.ask(b"STATUS")).splitlines()[-6:-1]
    assert told[:2] == ["transform: off", "transforms-active: 3"]
    assert told[2].startswith("transform-trial: everyone banner@2 canary former=none accounts=- ")
    assert told[3:] == ["canaries-given-up: 1", "transform-isolation: Landlock ABI 7"]


async def test_status_tells_of_transformed_mail_where_there_is_some(talk: Talk) -> None:
    mail = TransformedMail(
        ahead=True, waiting_count=3, done_count=2, failed_count=1, used_bytes=4096, limit_bytes=8192
    )
    talk.login.status = Status(transform="wc", transformed_mail=mail)
    assert (await talk.ask(b"STATUS")).splitlines()[-6:-1] == [
        "transform: wc",
        "transforms-active: 0",
        "canaries-given-up: 0",
        "transform-isolation: -",
        "transformed-mail: ahead=on waiting=3 done=2 failed=1 octets=4096 limit=8192",
    ]


async def test_certificates_are_read_again(talk: Talk) -> None:
    talk.login.certificates = [certificate("a.example"), certificate("b.example")]
    assert await talk.ask(b"RELOAD_CERTIFICATES") == "+OK 2 certificates in force"
    talk.login.certificates = ManagementError(Reason.CERTIFICATE_INVALID, "a.pem: it is bad")
    assert await talk.ask(b"RELOAD_CERTIFICATES") == "-ERR [CERTIFICATE] a.pem: it is bad"


async def test_workers_are_replaced(talk: Talk) -> None:
    assert await talk.ask(b"RESTART_WORKERS") == "+OK 2 workers replaced"
    for reason, told in (
        (Reason.WORKERS_BUSY, "[BUSY] why; STATUS tells how many are draining"),
        (Reason.INVALID_ARGUMENT, "[INVALID] why"),
        (Reason.SERVICE_UNAVAILABLE, "[UNAVAILABLE] why"),
    ):
        talk.login.restarted = ManagementError(reason, "why")
        assert await talk.ask(b"RESTART_WORKERS") == f"-ERR {told}"


async def test_a_fault_is_logged_under_the_number_that_the_client_is_told(talk: Talk) -> None:
    talk.login.status = ZeroDivisionError("of ours")
    with pytest.raises(ZeroDivisionError) as raised:
        await talk.ask(b"BYTES_TRANS")
    with structlog.testing.capture_logs() as logs:
        reply = talk.dialogue.failed(raised.value).decode()
    assert reply.startswith("-ERR [INTERNAL] internal error ")
    [event] = logs
    assert event["number"] == reply.split()[-1]
    assert event["exc_info"] is raised.value


async def test_when_the_connection_is_lost_its_login_is_to_end(talk: Talk) -> None:
    with structlog.testing.capture_logs() as logs:
        talk.dialogue.lost("idle")
    assert talk.ended == [talk.login]
    assert logs == [
        {"event": "session ended", "log_level": "info", "peer": "192.0.2.1:5",
         "account": "default", "reason": "idle", "commands": 2, "sent_bytes": 3}
    ]  # fmt: skip


async def test_a_look_whether_the_port_is_open_is_not_told_at_info() -> None:
    talk = Talk()
    with structlog.testing.capture_logs() as logs:
        talk.dialogue.lost("connection closed by client")
        talk.dialogue.lost("idle")
    assert [(it["log_level"], it["reason"]) for it in logs] == [
        ("debug", "connection closed by client"),
        ("info", "idle"),
    ]
    await talk.client.close()


async def test_a_login_that_has_ended_is_ended_no_more(talk: Talk) -> None:
    talk.login.status = talk.login.renewal = ENDED
    await talk.ask(b"STATUS")
    talk.dialogue.lost("idle")
    assert talk.ended == [None]


@pytest.mark.parametrize("reason", [Reason.ADDRESS_DENIED, Reason.ACCOUNT_SUSPENDED])
async def test_who_may_not_come_in_any_more_is_told_so_and_let_go(
    talk: Talk, reason: Reason
) -> None:
    talk.login.status = ManagementError(reason, "not from here")
    assert await talk.ask(b"BYTES_TRANS") == "-ERR [DENIED] not from here"
    assert talk.dialogue.finished
