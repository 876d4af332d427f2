"""RFC 2595 section 4 and RFC 8314: STLS, and TLS from the first octet."""

from __future__ import annotations

import ssl
import warnings

from conformance.scorecard.probe import Probe, capabilities, sizes
from conformance.scorecard.rules import Broken, Level, NotOffered, Unsure, demand, rule
from conformance.scorecard.wire import Client, joined

MUST, SHOULD = Level.MUST, Level.SHOULD
OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def _plain(at: Probe) -> Client:
    """A connection in clear text to a server that offers STLS."""
    at.offers("STLS", "CLEAR")
    return at.connect()


def _secured(at: Probe) -> Client:
    client = _plain(at)
    client.ok("STLS")
    at.secure(client)
    return client


# --- STLS --------------------


@rule("RFC 2595 4", MUST, "After STLS a session goes on in TLS, as in clear text.")
def stls_session(at: Probe) -> None:
    at.some(2).leave()
    client = at.session(lambda: _secured(at))
    for number, size in list(sizes(client).items())[:2]:
        demand(len(client.message(f"RETR {number}")) == size, "RETR is not what LIST says")


@rule("RFC 2595 4", MUST, "STLS is refused when TLS is there already, and is not announced then.")
def no_stls_in_tls(at: Probe) -> None:
    client = _secured(at)
    found = capabilities(client)
    demand(found is not None, "there is no CAPA in TLS")
    demand(found is not None and "STLS" not in found, "CAPA names it")
    client.err("STLS")


@rule("RFC 2595 4", MUST, "STLS is refused after login.")
def no_stls_after_login(at: Probe) -> None:
    client = _plain(at)
    try:
        demand(at.enter(client).positive, "the login was refused")
    except Broken:
        raise Unsure("no login in clear text") from None
    client.err("STLS")
    client.ok("NOOP")


@rule("RFC 2595 4", MUST, "STLS takes no argument.")
def stls_arguments(at: Probe) -> None:
    _plain(at).err("STLS now")


@rule("RFC 2595 4", MUST, "A name given before STLS is forgotten.")
def stls_forgets_the_name(at: Probe) -> None:
    client = _plain(at)
    if client.ask(f"USER {at.target.user}").negative:
        raise NotOffered("no name is taken in clear text")
    client.ok("STLS")
    at.secure(client)
    reply = client.ask(f"PASS {at.target.password}")
    client.entered = reply.positive
    demand(reply.negative, "PASS was accepted")


def _injected(at: Probe, before: bytes, after: bytes) -> bytes:
    """What comes first in TLS, after octets that were sent in clear text behind STLS."""
    client = _plain(at)
    client.send(b"STLS\r\n" + before)
    demand(client.reply().positive, "STLS was refused")
    try:
        at.secure(client)
    except Broken:
        return b""  # a server may well end such a connection
    client.send(after)
    return client.line()


@rule("RFC 2595 4", MUST, "A command sent with STLS in one segment is thrown away.")
def stls_throws_commands_away(at: Probe) -> None:
    line = _injected(at, b"CAPA\r\n", b"XYZZ\r\n")
    demand(not line.startswith(b"+OK"), "it was answered in TLS")


@rule("RFC 2595 4", MUST, "A part of a line sent with STLS is thrown away.")
def stls_throws_a_part_away(at: Probe) -> None:
    line = _injected(at, b"CA", b"PA\r\n")
    demand(not line.startswith(b"+OK"), "the line was finished in TLS")


@rule("RFC 2595 4", MUST, "A name sent with STLS in one segment does not count.")
def stls_throws_names_away(at: Probe) -> None:
    name, password = at.target.user, at.target.password
    line = _injected(at, f"USER {name}\r\n".encode(), f"PASS {password}\r\n".encode())
    demand(not line or line.startswith(b"-ERR"), "PASS was answered after it")


@rule("RFC 2595 4", MUST, "CAPA in TLS names what there is then.")
def capa_after_stls(at: Probe) -> None:
    clear = at.announced("CLEAR")
    found = capabilities(_secured(at)) or {}
    wanted = clear.keys() & {"TOP", "UIDL", "PIPELINING", "RESP-CODES", "EXPIRE"}
    demand(wanted <= found.keys(), f"it does not name {sorted(wanted - found.keys())}")
    demand("USER" in found or "SASL" in found, "it names no way to log in")


@rule("RFC 2595 4", SHOULD, "Octets that are no TLS after STLS end the connection, no session.")
def no_tls_after_stls(at: Probe) -> None:
    client = _plain(at)
    client.ok("STLS")
    client.send(joined([f"USER {at.target.user}", f"PASS {at.target.password}", "STAT"]))
    demand(b"+OK" not in client.rest(), "commands in clear text were answered")


# --- implicit TLS --------------------


def _port(at: Probe) -> Client:
    if at.target.tls_port is None:
        raise NotOffered("no --tls-port was given")
    return at.connect(tls=True)


@rule("RFC 8314 3.3", MUST, "On the TLS port the greeting comes in TLS, and a session works.")
def implicit_tls_session(at: Probe) -> None:
    _port(at).leave()
    at.some(2).leave()
    client = at.session(lambda: at.connect(tls=True))
    demand(client.greeting.positive, "the greeting is not positive")
    for number, size in list(sizes(client).items())[:2]:
        demand(len(client.message(f"RETR {number}")) == size, "RETR is not what LIST says")


@rule("RFC 8314 3.3", MUST, "On the TLS port STLS is refused and not announced.")
def implicit_tls_has_no_stls(at: Probe) -> None:
    client = _port(at)
    demand("STLS" not in (capabilities(client) or {}), "CAPA names it")
    client.err("STLS")


@rule("RFC 8314 3.3", MUST, "The TLS port gives nothing to a client in clear text.")
def implicit_tls_only(at: Probe) -> None:
    if at.target.tls_port is None:
        raise NotOffered("no --tls-port was given")
    client = at.bare(at.target.tls_port)
    client.send(b"CAPA\r\nQUIT\r\n" + b"\r\n" * 8)
    demand(b"+OK" not in client.rest(), "it was answered in clear text")


@rule("RFC 8314 4.1", MUST, "TLS 1.2 or 1.3 is spoken.")
def modern_tls(at: Probe) -> None:
    client = _port(at) if at.target.tls_port is not None else _secured(at)
    assert isinstance(client.socket, ssl.SSLSocket)
    version = client.socket.version()
    demand(version in ("TLSv1.2", "TLSv1.3"), f"it is {version}")


@rule("RFC 8314 4.1", SHOULD, "TLS 1.0 and 1.1 are refused.")
def no_old_tls(at: Probe) -> None:
    if at.target.tls_port is None:
        _plain(at)
    for version in OLD:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context = at.target.tls
            context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        client = at.bare(at.target.tls_port) if at.target.tls_port else _plain(at)
        if not at.target.tls_port:
            client.ok("STLS")
        try:
            client.socket = context.wrap_socket(client.socket, server_hostname=at.target.host)
        except OSError:
            client.drop()
            continue
        raise Broken(f"{version.name} was accepted")


@rule("RFC 8314 3.3", SHOULD, "After QUIT TLS is closed in order, so that nothing seems cut off.")
def tls_ends_in_order(at: Probe) -> None:
    client = _port(at) if at.target.tls_port is not None else _secured(at)
    assert isinstance(client.socket, ssl.SSLSocket)
    client.socket.suppress_ragged_eofs = False
    client.ok("QUIT")
    try:
        demand(client.socket.recv(1) == b"", "something came after the reply")
    except ssl.SSLEOFError:
        raise Broken("the connection ended without close_notify") from None
