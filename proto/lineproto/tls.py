"""TLS contexts, built from certificates held in memory.

One context a certificate; a client that names a host gets the context of that host, any other
client the first one. What is accepted follows RFC 9325: TLS 1.2 and 1.3, AEAD ciphers with an
ephemeral key exchange.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; those of TLS 1.3 are all current and stay as they are."""


class BadCertificate(Exception):
    """A chain or a key cannot be used, or the two do not belong together.

    ``why`` says it, ``file`` which one it is about, if known.
    """

    def __init__(self, why: str, file: str = "") -> None:
        super().__init__(f"{file}: {why}" if file else why)
        self.why = why
        self.file = file


class Pair(Protocol):
    """A certificate with its chain, leaf first, and its key, all as PEM.

    ``names`` are the host names it stands for; one may begin with ``*.`` (RFC 6125 section 6.4.3).
    ``end_point`` is what clients bind to (tls-server-end-point, RFC 5929 section 4).
    """

    @property
    def chain(self) -> bytes:
        """The certificates."""

    @property
    def key(self) -> bytes:
        """The key."""

    @property
    def names(self) -> tuple[str, ...]:
        """The host names."""

    @property
    def end_point(self) -> bytes:
        """What clients bind to; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class PlainPair:
    """A certificate for whatever name a client asks for."""

    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...] = ()
    end_point: bytes = b""


class ServerContext(ssl.SSLContext):
    """The context of one certificate; ``end_point`` is what its clients may bind to."""

    end_point: bytes = b""


def server_context(pairs: Sequence[Pair], alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """Give the context to begin handshakes with. The first pair is the default.

    Raises:
        BadCertificate: a chain or a key cannot be used, or the two do not belong together.
    """
    default, *others = [_context(pair, alpn) for pair in pairs]
    by_name: dict[str, ssl.SSLContext | None] = dict.fromkeys(map(_folded, pairs[0].names))
    for pair, context in zip(pairs[1:], others, strict=True):
        for name in map(_folded, pair.names):
            by_name.setdefault(name, context)

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: object) -> None:
        context = _of_name(by_name, _folded(name)) if name else None
        if context is not None:
            connection.context = context

    # A name that is not known is no reason to refuse: the client decides what it trusts.
    default.sni_callback = choose
    return default


def _of_name(by_name: dict[str, ssl.SSLContext | None], name: str) -> ssl.SSLContext | None:
    """Find a name's context; ``*`` stands for the left-most label, whole (RFC 6125)."""
    if name in by_name:
        return by_name[name]
    _, _, parent = name.partition(".")
    return by_name.get(f"*.{parent}")


def _folded(name: str) -> str:
    return name.lower().removesuffix(".")


def _context(pair: Pair, alpn: Sequence[str]) -> ssl.SSLContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.end_point = pair.end_point
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    if alpn:
        context.set_alpn_protocols(alpn)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # A client that closed its side of TCP alone still gets its replies. Nobody gains by cutting a
    # stream: half a command is none, and without QUIT nothing is deleted.
    context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # OpenSSL 3
    # All that is offered is strong, so the client chooses: one without AES in hardware wants
    # ChaCha20, which is many times faster there.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # A ticket could be used at the worker that gave it alone, as workers share no keys: most would
    # come to another one, for two messages more in every handshake. Those of TLS 1.2 stay: without
    # them OpenSSL keeps each session in memory.
    context.num_tickets = 0
    _load(context, pair)
    return context


def _load(context: ssl.SSLContext, pair: Pair) -> None:
    """Load chain and key. OpenSSL wants a file; this one is in memory, and never on a disk.

    Raises:
        BadCertificate: OpenSSL does not take them.
    """
    fd = os.memfd_create("valija-certificate", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(pair.chain + b"\n" + pair.key)
        context.load_cert_chain(f"/proc/self/fd/{fd}", password=_no_password)
    except ssl.SSLError as error:
        raise BadCertificate(_explained(pair, error)) from None
    finally:
        os.close(fd)


def _no_password() -> str:
    """OpenSSL would ask at the terminal."""
    raise BadCertificate("the key is encrypted; there is nobody to ask for its password")


def _explained(pair: Pair, error: ssl.SSLError) -> str:
    of = f" of {pair.names[0]}" if pair.names else ""
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key does not belong to the certificate{of}"
    told = (error.reason or "no certificate or no key in it").replace("_", " ").lower()
    return f"the certificate{of} or its key cannot be used: {told}"
