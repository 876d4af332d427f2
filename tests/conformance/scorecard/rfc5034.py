"""RFC 5034: AUTH and its mechanisms."""

from __future__ import annotations

from base64 import b64decode, b64encode

from conformance.scorecard.probe import Probe
from conformance.scorecard.rules import Level, NotOffered, demand, rule
from conformance.scorecard.scram import ScramClient
from conformance.scorecard.wire import Client, Reply

MUST, SHOULD, MAY, HOSTILE = Level.MUST, Level.SHOULD, Level.MAY, Level.HOSTILE


def _mechanisms(at: Probe, *wanted: str) -> list[str]:
    """What is offered.

    Raises:
        NotOffered: there is no SASL, or none of those that are wanted.
    """
    found = [it.upper() for it in at.offers("SASL")]
    if wanted and not set(wanted) & set(found):
        raise NotOffered(f"SASL does not name {' or '.join(wanted)}")
    return found


def _encoded(octets: bytes) -> bytes:
    return b64encode(octets) or b"="


def _plain(at: Probe, password: str | None = None, other: str = "") -> bytes:
    words = (other, at.target.user, at.target.password if password is None else password)
    return "\0".join(words).encode()


def _challenge(client: Client, octets: bytes) -> bytes:
    """Send a line that must be answered by a challenge; give the challenge."""
    client.send(octets + b"\r\n")
    return _challenged(client.line())


def _challenged(line: bytes) -> bytes:
    demand(line.startswith(b"+ "), "the answer is no challenge, a plus and a blank")
    return b64decode(line[2:].strip(), validate=True)


def _begin(client: Client, mechanism: str) -> None:
    """Begin without an initial response; the server's part does not matter."""
    client.send(f"AUTH {mechanism}\r\n".encode())
    demand(client.line().startswith(b"+ "), "the answer is no challenge, a plus and a blank")


def _entered(client: Client, reply: Reply) -> None:
    client.entered = reply.positive
    demand(reply.positive, "the login was refused")
    client.ok("STAT")


def _refused(at: Probe, *responses: bytes) -> list[Reply]:
    """PLAIN with each of these is refused; all begin before one is waited for, it may take long."""
    clients = [at.open() for _ in responses]
    for client, octets in zip(clients, responses, strict=True):
        client.send(b"AUTH PLAIN " + _encoded(octets) + b"\r\n")
    replies = [client.reply() for client in clients]
    demand(all(it.negative for it in replies), "one was accepted")
    return replies


# --- AUTH itself --------------------


@rule("RFC 5034 4", MUST, "A mechanism that is not there is refused.")
def unknown_mechanism(at: Probe) -> None:
    _mechanisms(at)
    at.open().err("AUTH XYZZY")
    at.open().err("AUTH XYZZY AAAA")


@rule("RFC 5034 4", MUST, "Every mechanism that CAPA names begins.")
def every_mechanism_begins(at: Probe) -> None:
    for name in _mechanisms(at):
        client = at.open()
        client.send(f"AUTH {name}\r\n".encode())
        demand(client.line().startswith(b"+ "), f"{name} was refused")
        client.err("*")


@rule("RFC 5034 4", SHOULD, "AUTH alone, where it lists mechanisms, lists those of CAPA.")
def auth_alone(at: Probe) -> None:
    wanted = _mechanisms(at)
    client = at.open()
    if client.ask("AUTH").negative:
        return
    listed = [it.decode("latin-1").upper() for it in client.body().split()]
    demand(sorted(listed) == sorted(wanted), "the lists differ")


@rule("RFC 5034 4", MUST, "A mechanism's name does not depend on case.")
def mechanisms_case(at: Probe) -> None:
    _begin(at.open(), _mechanisms(at)[0].lower())


@rule("RFC 5034 4", MUST, "A line of * cancels, and the client may begin again.")
def cancel(at: Probe) -> None:
    client, name = at.open(), _mechanisms(at)[0]
    for _ in range(2):
        _begin(client, name)
        client.err("*")


@rule("RFC 5034 4", MUST, "What is not base64 is refused.")
def bad_base64(at: Probe) -> None:
    name = _mechanisms(at)[0]
    for octets in (b"!!!!", b"AAA", b"A===", b"AA AA", b"\xff\xff\xff\xff", b"AAAA=AAAA"):
        client = at.open()
        _begin(client, name)
        client.refuses_or_closes(octets + b"\r\n")
    at.open().refuses_or_closes(f"AUTH {name} !!!!\r\n".encode())
    if "PLAIN" in _mechanisms(at):
        right = b64encode(_plain(at))
        at.open().err(b"AUTH PLAIN " + right[:4] + b"!" + right[4:])


@rule("RFC 5034 4", MUST, "AUTH is refused after login.")
def no_auth_after_login(at: Probe) -> None:
    name = _mechanisms(at)[0]
    client = at.session()
    client.err(f"AUTH {name}")
    client.ok("NOOP")


@rule("RFC 5034 4", MUST, "A response in the middle of an exchange is no command.")
def commands_within_an_exchange(at: Probe) -> None:
    client, name = at.open(), _mechanisms(at)[0]
    _begin(client, name)
    client.refuses_or_closes(b"QUIT\r\n")


@rule("RFC 5034 4", SHOULD, "A refused AUTH leaves the client free to log in otherwise.")
def login_after_refused_auth(at: Probe) -> None:
    client, name = at.open(), _mechanisms(at)[0]
    _begin(client, name)
    client.err("*")
    if "USER" not in at.announced():
        raise NotOffered("CAPA does not name USER")
    demand(at.enter(client).positive, "the login was refused")


@rule("RFC 5034 4", SHOULD, "A response of 1,024 octets, the longest of PLAIN, is taken in.")
def long_response(at: Probe) -> None:
    client, name = at.open(), _mechanisms(at)[0]
    _begin(client, name)
    client.err(b64encode(b"\0".join((b"a" * 255, b"b" * 255, b"p" * 255))))
    client.err("*")


# --- PLAIN --------------------


@rule("RFC 5034 4", MUST, "PLAIN works with an initial response.")
def plain_with_initial_response(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    client = at.open()
    _entered(client, client.ask(b"AUTH PLAIN " + _encoded(_plain(at))))


@rule("RFC 5034 4", MUST, "PLAIN works without one: the challenge is empty.")
def plain_without_initial_response(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    client = at.open()
    demand(_challenge(client, b"AUTH PLAIN") == b"", "the challenge is not empty")
    _entered(client, client.ask(_encoded(_plain(at))))


@rule("RFC 5034 4", MUST, "An initial response of = is an empty one, and no request for one.")
def empty_initial_response(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    at.open().err("AUTH PLAIN =")


@rule("RFC 4616 2", MUST, "PLAIN with a wrong password or an unknown user is refused.")
def plain_wrong(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    for reply in _refused(at, _plain(at, "wrong"), b"\0nobody-here\0wrong"):
        if "AUTH-RESP-CODE" in at.announced():
            demand(reply.code == b"AUTH", "the reply does not say [AUTH]")


@rule("RFC 4616 2", MUST, "PLAIN has exactly two NULs.")
def plain_form(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    right = _plain(at)
    _refused(at, b"x", right[1:], right + b"\0x", right + b"\0", b"\0\0")


@rule("RFC 4616 2", MUST, "PLAIN does not let a user in as somebody else.")
def plain_as_another(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    _refused(at, *(_plain(at, other=it) for it in ("somebody-else", "root", "../x")))


@rule("RFC 4616 2", MAY, "PLAIN lets a user in as herself.")
def plain_as_oneself(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    client = at.open()
    reply = client.ask(b"AUTH PLAIN " + _encoded(_plain(at, other=at.target.user)))
    _entered(client, reply)


# --- LOGIN --------------------


def _login(at: Probe, password: str) -> tuple[Client, Reply]:
    _mechanisms(at, "LOGIN")
    client = at.open()
    _begin(client, "LOGIN")
    _challenge(client, _encoded(at.target.user.encode()))
    return client, client.ask(_encoded(password.encode()))


@rule("RFC 5034 4", MAY, "LOGIN asks for name and password.")
def login_mechanism(at: Probe) -> None:
    _entered(*_login(at, at.target.password))


@rule("RFC 5034 4", MUST, "LOGIN with a wrong password is refused.")
def login_mechanism_wrong(at: Probe) -> None:
    demand(_login(at, "wrong")[1].negative, "it was accepted")


# --- SCRAM --------------------


def _scram(at: Probe, scram: ScramClient, initial: bool) -> tuple[Client, Reply]:
    """Go through the exchange; give the last reply."""
    client = at.open()
    if initial:
        client.send(b"AUTH SCRAM-SHA-256 " + _encoded(scram.first()) + b"\r\n")
    else:
        _begin(client, "SCRAM-SHA-256")
        client.send(_encoded(scram.first()) + b"\r\n")
    line = client.line()
    if line.startswith(b"-ERR"):
        return client, Reply(line)
    client.send(_encoded(scram.final(_challenged(line))) + b"\r\n")
    line = client.line()
    if not line.startswith(b"+ "):
        return client, Reply(line)
    scram.verify(_challenged(line))
    return client, client.ask(b"")


@rule("RFC 7677 3", MUST, "SCRAM-SHA-256 lets in, and proves that the server knows the user.")
def scram(at: Probe) -> None:
    _mechanisms(at, "SCRAM-SHA-256")
    for initial in (True, False):
        made = ScramClient(at.target.user, at.target.password)
        client, reply = _scram(at, made, initial)
        demand(made.verified, "the server gave no proof of its own")
        _entered(client, reply)
        client.leave()


@rule("RFC 5802 3", MUST, "SCRAM with a wrong password or an unknown user is refused.")
def scram_wrong(at: Probe) -> None:
    _mechanisms(at, "SCRAM-SHA-256")
    for name, password in ((at.target.user, "wrong"), ("nobody-here", at.target.password)):
        _, reply = _scram(at, ScramClient(name, password), True)
        demand(reply.negative, "it was accepted")


@rule("RFC 5802 5.1", MUST, "SCRAM refuses a nonce that is not the one it gave.")
def scram_nonce(at: Probe) -> None:
    _mechanisms(at, "SCRAM-SHA-256")
    made = ScramClient(at.target.user, at.target.password, spoil_nonce=True)
    demand(_scram(at, made, True)[1].negative, "it was accepted")


@rule("hostile", HOSTILE, "An unknown user of SCRAM has a salt of her own that stays the same.")
def scram_salt_of_nobody(at: Probe) -> None:
    _mechanisms(at, "SCRAM-SHA-256")
    found = []
    for name in ("nobody-a", "nobody-a", "nobody-b"):
        made = ScramClient(name, "x")
        line = b"AUTH SCRAM-SHA-256 " + _encoded(made.first())
        made.final(_challenge(at.open(), line))
        found.append(made.salt)
    demand(found[0] == found[1], "it changes")
    demand(found[0] != found[2], "two users have the same")


# --- hostile --------------------


@rule("hostile", HOSTILE, "A response of 1 MiB, or a challenge's answer without end, is refused.")
def endless_response(at: Probe) -> None:
    name = _mechanisms(at)[0]
    client = at.open()
    _begin(client, name)
    client.refuses_or_closes(b"A" * at.target.flood + b"\r\n")
    at.open().refuses_or_closes(f"AUTH {name} ".encode() + b"A" * at.target.flood + b"\r\n")
    at.session().ok("NOOP")


@rule("hostile", HOSTILE, "NULs and octets that are no UTF-8 in PLAIN are refused without harm.")
def odd_octets_in_plain(at: Probe) -> None:
    _mechanisms(at, "PLAIN")
    _refused(at, b"\0" * 500, b"\0\xff\xfe\0\xff", b"\0a\0b\r\n", b"\0a\n\0b")
    at.session().ok("NOOP")
