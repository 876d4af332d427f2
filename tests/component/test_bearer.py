"""Bearer tokens in the real service: an issuer that tells its keys over https."""

import base64
import json
import poplib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from joserfc import jwk

from component.conftest import Mailbox, Service
from support import daemon
from support.events import wait_for
from support.issuer import AUDIENCE, ISSUER, KeyServer, ec_key, key_server, key_set, part, token
from support.pop3 import Pop3

REFUSED = "-ERR [AUTH] wrong name or password"
LEEWAY_S = 60
"""For how long an expired token is still taken."""


@dataclass
class Realm:
    """A service, and the issuer whose tokens it takes; ``sent`` are all tokens so far."""

    service: Service
    issuer: KeyServer
    key: jwk.Key
    sent: list[str] = field(default_factory=list)

    def token(self, name: str, key: jwk.Key | None = None, **claims: object) -> str:
        made = token(key or self.key, time.time(), email=name, **claims)
        self.sent.append(made)
        return made

    def log_in(self, client: Pop3, given: str, name: str = "") -> str:
        """AUTH OAUTHBEARER to its end; gives the last reply."""
        identity = f"a={name}" if name else ""
        message = f"n,{identity},\x01host=x\x01auth=Bearer {given}\x01\x01"
        reply = client.ask(f"AUTH OAUTHBEARER {base64.b64encode(message.encode()).decode()}")
        if not reply.startswith("+ "):
            return reply
        assert json.loads(base64.b64decode(reply[2:]))["status"] == "invalid_token"
        return client.ask("AQ==")

    def outcome(self, given: str, name: str = "") -> str:
        """The same on a connection of its own."""
        with self.service.connect() as client:
            return self.log_in(client, given, name)

    def log(self) -> str:
        return "".join(self.service.daemon.log)


@pytest.fixture(scope="module", params=[0, 2], ids=["workers=0", "workers=2"])
def shared_realm(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Realm]:
    folder: Path = tmp_path_factory.mktemp("realm")
    key = ec_key()
    with key_server(folder) as issuer:
        issuer.body = key_set(key)
        environment = {
            "POP3_MIN_LOGIN_DELAY": "0",
            "POP3_MAX_LOGIN_DELAY": "0",
            "POP3_OAUTH_JWKS": issuer.address,
            "POP3_OAUTH_ISSUER": ISSUER,
            "POP3_OAUTH_AUDIENCE": AUDIENCE,
            "POP3_OAUTH_CA": str(issuer.authorities),
        }
        with daemon.running(folder, workers=request.param, environment=environment) as running:
            yield Realm(Service(running), issuer, key)


@pytest.fixture
def realm(shared_realm: Realm) -> Realm:
    shared_realm.issuer.status = 200
    shared_realm.issuer.body = key_set(shared_realm.key)
    return shared_realm


def test_a_token_opens_the_maildrop_of_its_account(realm: Realm) -> None:
    box = realm.service.account(b"one\n")
    with realm.service.connect() as client:
        assert realm.log_in(client, realm.token(box.name)) == "+OK Logged in"
        assert client.ask("STAT") == "+OK 1 5"
        assert [it.account_name for it in realm.service.sessions(box.name)] == [box.name]
        assert client.ask("QUIT") == "+OK bye"
    assert realm.outcome(realm.token(box.name), box.name) == "+OK Logged in"


def test_xoauth2_as_a_standard_client_sends_it(realm: Realm) -> None:
    box = realm.service.account()
    client = poplib.POP3("127.0.0.1", realm.service.daemon.pop3, timeout=30)
    assert {"OAUTHBEARER", "XOAUTH2"} <= set(client.capa()["SASL"])
    message = f"user={box.name}\x01auth=Bearer {realm.token(box.name)}\x01\x01"
    told = client._shortcmd(f"AUTH XOAUTH2 {base64.b64encode(message.encode()).decode()}")
    assert told == b"+OK Logged in"
    client.quit()


def test_a_token_of_many_claims_fits(realm: Realm) -> None:
    box = realm.service.account()
    assert realm.outcome(realm.token(box.name, groups=["x" * 99] * 250)) == "+OK Logged in"


def test_every_wrong_token_has_one_answer(realm: Realm) -> None:
    box, other = realm.service.account(), realm.service.account()
    now = time.time()
    _, payload, _ = realm.token(box.name).split(".")
    wrong = {
        "without a signature": f"{part({'alg': 'none'})}.{payload}.",
        "of another's key": realm.token(box.name, ec_key("ec")),
        "expired": realm.token(box.name, exp=now - 70),
        "not yet valid": realm.token(box.name, nbf=now + 600),
        "of another issuer": realm.token(box.name, iss="https://other.test"),
        "for another service": realm.token(box.name, aud="other"),
        "of nobody": realm.token("nobody"),
        "opaque": "2YotnFZFEjr1zCsicMWpAA",
    }
    assert {name: realm.outcome(given) for name, given in wrong.items()} == dict.fromkeys(
        wrong, REFUSED
    )
    assert realm.outcome(realm.token(box.name), other.name) == REFUSED
    assert realm.outcome(realm.token(box.name), box.name) == "+OK Logged in"


@pytest.mark.attack(24, "pop3")
def test_a_token_is_worth_nothing_once_it_has_expired(realm: Realm) -> None:
    box = realm.service.account()
    for left_s in (2, 8, 32):  # of the leeway; on a busy machine a little is over too soon
        ends_s = time.time() + left_s
        short = realm.token(box.name, exp=ends_s - LEEWAY_S)
        outcome = realm.outcome(short)
        if time.time() < ends_s:
            break
    assert outcome == "+OK Logged in"
    wait_for(lambda: realm.outcome(short) == REFUSED)


def test_attack_25_a_token_of_a_deleted_account_opens_nothing(realm: Realm) -> None:
    box = realm.service.account()
    given = realm.token(box.name)
    with realm.service.connect() as client:
        assert realm.log_in(client, given) == "+OK Logged in"
        realm.service.manage(lambda admin: admin.delete_account(box.name))
        assert client.at_end()
    assert realm.outcome(given) == REFUSED


def test_a_new_key_is_asked_for_once_by_all_who_come_with_it(realm: Realm) -> None:
    boxes = realm.service.accounts(50)
    assert realm.outcome(realm.token(boxes[0].name)) == "+OK Logged in"
    new = ec_key(f"new-{time.monotonic()}")
    realm.issuer.body = key_set(realm.key, new)
    asked = realm.issuer.asked
    outcomes: dict[str, str] = {}

    def come(box: Mailbox) -> None:
        outcomes[box.name] = realm.outcome(realm.token(box.name, new))

    def all_come() -> bool:
        crowd = [threading.Thread(target=come, args=(box,)) for box in boxes]
        for it in crowd:
            it.start()
        for it in crowd:
            it.join()
        return set(outcomes.values()) == {"+OK Logged in"}

    wait_for(all_come)  # keys may just have been asked for, and are not again for ten seconds
    assert realm.issuer.asked == asked + 1


def test_the_keys_stay_when_the_issuer_is_away_and_the_log_says_so(realm: Realm) -> None:
    box = realm.service.account()
    assert realm.outcome(realm.token(box.name)) == "+OK Logged in"
    realm.issuer.status = 503
    unknown = realm.token(box.name, ec_key(f"unknown-{time.monotonic()}"))

    def told() -> bool:
        assert realm.outcome(unknown) == REFUSED
        return "token keys not read; those before stay" in realm.log()

    wait_for(told)
    assert realm.outcome(realm.token(box.name)) == "+OK Logged in"
    warnings = realm.service.manage(lambda admin: admin.get_status()).warnings
    assert "token keys: the answer's status is 503" in warnings


def test_tokens_are_switched_off_while_the_service_runs(realm: Realm) -> None:
    box = realm.service.account()
    source = realm.issuer.address
    with realm.service.connect() as client:
        realm.service.change(oauth_jwks="")
        assert not [line for line in client.listing("CAPA") if "OAUTH" in line]
        assert "not offered" in realm.log_in(client, realm.token(box.name))
        realm.service.change(oauth_jwks=source)
        assert realm.log_in(client, realm.token(box.name)) == "+OK Logged in"


def test_no_token_is_in_the_log_and_no_worker_loads_what_checks_it(realm: Realm) -> None:
    box = realm.service.account()
    assert realm.outcome(realm.token(box.name)) == "+OK Logged in"
    assert realm.outcome(realm.token("nobody")) == REFUSED
    wait_for(lambda: "there is no account of its name" in realm.log())
    for given in realm.sent:
        assert given not in realm.log()
        assert given.split(".")[2] not in realm.log()
    loaded = {
        kind: "cryptography" in Path(f"/proc/{pid}/maps").read_text()
        for pid, kind in realm.service.daemon.pids().items()
    }
    assert loaded.pop("supervisor")
    assert not any(loaded.values())


def test_without_tokens_nothing_is_loaded_that_checks_them(
    in_one_process: Callable[..., Service],
) -> None:
    service = in_one_process()
    box = service.account()
    with service.connect() as client:
        assert client.log_in(box.name) == "+OK Logged in"
    assert "cryptography" not in Path(f"/proc/{service.daemon.process.pid}/maps").read_text()
