"""TLS contexts, by real handshakes in memory."""

from __future__ import annotations

import os
import socket
import ssl
import threading

import pytest

from pop3_service.control.plane import CertificatePair
from pop3_service.domain.errors import CertificateInvalid
from pop3_service.worker.tls import server_context
from support.certificates import authority, key_pem, pem, rsa_key
from support.handshake import Handshake

MAIL = authority().issue("mail.example", "pop.example")
OTHER = authority().issue("Other.Example")
WILD = authority().issue("*.wild.example")
RSA = authority().issue("rsa.example", private=rsa_key())
ALL = server_context([it.pair for it in (MAIL, OTHER, WILD, RSA)])


def client_context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(cadata=pem(authority().root.certificate).decode())
    return made


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("mail.example", "mail.example"),
        ("pop.example", "mail.example"),
        ("other.example", "Other.Example"),
        ("OTHER.EXAMPLE", "Other.Example"),
        ("a.wild.example", "*.wild.example"),
        ("rsa.example", "rsa.example"),
        ("a.b.wild.example", "mail.example"),
        ("wild.example", "mail.example"),
        ("unknown.example", "mail.example"),
        ("localhost", "mail.example"),
        (None, "mail.example"),
    ],
)
def test_a_client_gets_the_certificate_of_the_name_it_asks_for(
    asked: str | None, given: str
) -> None:
    assert Handshake(ALL, client_context(), asked).subject() == given


def test_sockets_are_served_like_buffers() -> None:
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with ALL.wrap_socket(ours, server_side=True) as connection:
            connection.sendall(b"+OK\r\n")

    server = threading.Thread(target=serve)
    server.start()
    with client_context().wrap_socket(theirs, server_hostname="other.example") as client:
        assert client.recv(5) == b"+OK\r\n"
        assert (client.getpeercert() or {})["subject"] == ((("commonName", "Other.Example"),),)
    server.join()


def test_a_name_of_two_certificates_is_the_first_ones() -> None:
    first, second = authority().issue("a.example"), authority().issue("b.example", "a.example")
    context = server_context([first.pair, second.pair])
    assert Handshake(context, client_context(), "a.example").subject() == "a.example"
    assert Handshake(context, client_context(), "b.example").subject() == "b.example"


@pytest.mark.parametrize("name", ["mail.example", "other.example"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_current_versions_are_spoken_and_pop3_is_chosen(
    name: str, version: ssl.TLSVersion
) -> None:
    client = client_context()
    client.minimum_version = client.maximum_version = version
    client.set_alpn_protocols(["imap", "pop3"])
    done = Handshake(ALL, client, name)
    assert done.client.version() == version.name.replace("_", ".")
    assert done.client.selected_alpn_protocol() == "pop3"
    assert done.client.compression() is None


def test_a_client_without_alpn_is_served() -> None:
    assert Handshake(ALL, client_context()).client.selected_alpn_protocol() is None


@pytest.mark.attack(15, "old versions")
@pytest.mark.parametrize("name", ["mail.example", "rsa.example"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_versions_are_refused(name: str, version: ssl.TLSVersion) -> None:
    client = client_context()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = version
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        Handshake(ALL, client, name)


@pytest.mark.parametrize(
    ("name", "ciphers"),
    [
        ("mail.example", "ECDHE-ECDSA-AES128-SHA256"),
        ("mail.example", "ECDHE-ECDSA-AES256-SHA"),
        ("rsa.example", "ECDHE-RSA-AES128-SHA256"),
        ("rsa.example", "AES128-GCM-SHA256"),
        ("rsa.example", "AES256-SHA"),
        ("rsa.example", "DHE-RSA-AES256-GCM-SHA384"),
    ],
)
def test_ciphers_of_the_past_are_refused(name: str, ciphers: str) -> None:
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(ciphers)
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        Handshake(ALL, client, name)


@pytest.mark.parametrize(
    ("name", "cipher"),
    [
        ("mail.example", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("mail.example", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("rsa.example", "ECDHE-RSA-AES256-GCM-SHA384"),
        ("rsa.example", "ECDHE-RSA-CHACHA20-POLY1305"),
    ],
)
def test_the_client_chooses_among_current_ciphers(name: str, cipher: str) -> None:
    client = client_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"{cipher}:ECDHE")
    chosen = Handshake(ALL, client, name).client.cipher()
    assert chosen is not None
    assert chosen[0] == cipher


def test_no_ticket_follows_a_handshake() -> None:
    assert Handshake(ALL, client_context()).unread == 0


def test_the_server_keeps_no_session_in_memory() -> None:
    context = server_context([MAIL.pair])
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = client_context()
        client.maximum_version = version
        for _ in range(3):
            Handshake(context, client)
    assert context.session_stats()["number"] == 0


@pytest.mark.attack(16)
def test_a_key_of_another_certificate_is_refused() -> None:
    pair = CertificatePair(MAIL.chain, OTHER.key, ("mail.example",))
    with pytest.raises(CertificateInvalid, match="does not belong to the certificate of mail"):
        server_context([OTHER.pair, pair])


def test_a_key_of_another_kind_is_refused() -> None:
    with pytest.raises(CertificateInvalid, match="or its key cannot be used"):
        server_context([CertificatePair(RSA.chain, MAIL.key, ())])


def test_an_encrypted_key_is_refused_and_nobody_is_asked() -> None:
    pair = CertificatePair(MAIL.chain, key_pem(MAIL.private, b"secret"), ())
    with pytest.raises(CertificateInvalid, match="encrypted"):
        server_context([pair])


@pytest.mark.parametrize("octets", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(octets: bytes) -> None:
    with pytest.raises(CertificateInvalid):
        server_context([CertificatePair(octets, MAIL.key, ())])
    with pytest.raises(CertificateInvalid):
        server_context([CertificatePair(MAIL.chain, octets, ())])


def test_a_weak_key_is_refused() -> None:
    weak = authority().issue("weak.example", private=rsa_key(1024))
    with pytest.raises(CertificateInvalid, match="too small"):
        server_context([weak.pair])


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    server_context([MAIL.pair])
    with pytest.raises(CertificateInvalid):
        server_context([CertificatePair(MAIL.chain, OTHER.key, ())])
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_key_is_in_no_representation() -> None:
    assert "PRIVATE" in MAIL.pair.key.decode()
    assert "PRIVATE" not in repr(MAIL.pair)
