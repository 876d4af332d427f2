"""Reading, checking and making certificates, and the process that does it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from scramp.core import CBindData

from pop3_service.domain.errors import CertificateInvalid, ServiceUnavailable
from pop3_service.supervisor.tls import reader
from pop3_service.supervisor.tls.messages import Make, PairOctets, Unusable, Usable
from pop3_service.supervisor.tls.reader import CertificateReader
from pop3_service.supervisor.tls.x509 import end_point, make, read
from pop3_service.worker.tls import server_context
from support.certificates import Issued, authority, key_pem, pem, rsa_key
from support.handshake import Handshake

MAIL = authority().issue("mail.example", "*.mail.example")
OTHER = authority().issue("other.example")
ROOT, INTERMEDIATE = authority().root, authority().intermediate
ECKey = ec.EllipticCurvePublicKey
SHA1_SIGNED = (
    "MIIBbjCCARagAwIBAgIUeJbT72l8dGWXMVFmlrZPwJIlgbwwCQYHKoZIzj0EATAOMQwwCgYDVQQDDANvbGQwHhcN"
    "MjYxMTI0MTIwMzA1WhcNMjYxMTI1MTIwMzA1WjAOMQwwCgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMB"
    "BwNCAATfGwTnmC14F2DPc9NcYXxaY0NfoAAC6Bpp112bp2nnCekZhQQWJt8+3rivg68+QBDeVgsPAdXqMlUrksoJ"
    "tgr+o1MwUTAdBgNVHQ4EFgQUrCdLrOEVTP031GRMU9GamyM/mpYwHwYDVR0jBBgwFoAUrCdLrOEVTP031GRMU9Ga"
    "myM/mpYwDwYDVR0TAQH/BAUwAwEB/zAJBgcqhkjOPQQBA0cAMEQCIG7hvqPA8Fp39gkpzThNik7hLFhJ+Jqm2aG7"
    "5yLdKDkoAiAkJXJ43hTUimb7T/c+oA+iZ5N7XDSNyt8SelsMS/tjRg=="
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def octets(issued: Issued) -> PairOctets:
    return PairOctets(issued.chain, issued.key)


def test_a_good_pair_is_read() -> None:
    told = read(octets(MAIL))
    assert told.pair.names == ("mail.example", "*.mail.example")
    assert (told.pair.chain, told.pair.key) == (MAIL.chain, MAIL.key)
    assert told.not_after - told.not_before == timedelta(days=90)
    assert told.issuer == "CN=Intermediate"
    assert not told.self_signed
    assert len(told.fingerprint) == 32 * 3 - 1


def signed_by(algorithm: hashes.HashAlgorithm | None, private: object) -> x509.Certificate:
    """A self-signed certificate whose signature has this hash."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())  # type: ignore[attr-defined]
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
    )
    return builder.sign(private, algorithm)  # type: ignore[arg-type]


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_clients_bind_to_the_leaf_by_the_hash_of_its_signature(
    algorithm: hashes.HashAlgorithm,
) -> None:
    """RFC 5929 section 4.1."""
    leaf = signed_by(algorithm, ec.generate_private_key(ec.SECP256R1()))
    der = leaf.public_bytes(Encoding.DER)
    assert end_point(leaf) == hashlib.new(algorithm.name, der).digest()
    assert CBindData.from_der(der).data == end_point(leaf)  # as a client computes it


def test_there_is_nothing_to_bind_to_where_the_signature_has_no_hash() -> None:
    assert end_point(signed_by(None, ed25519.Ed25519PrivateKey.generate())) == b""


def test_what_was_signed_with_sha_1_is_bound_to_by_sha_256() -> None:
    """RFC 5929 section 4.1; nobody signs so any more, so the certificate is one of old."""
    der = base64.b64decode(SHA1_SIGNED)
    leaf = x509.load_der_x509_certificate(der)
    assert isinstance(leaf.signature_hash_algorithm, hashes.SHA1)
    assert end_point(leaf) == hashlib.sha256(der).digest()


def test_one_file_may_hold_both_and_texts_between() -> None:
    both = b"Bag Attributes\n" + MAIL.key + b"subject=x\r\n" + MAIL.chain + b"\n# end\n"
    assert read(PairOctets(both, both)).pair == read(octets(MAIL)).pair


def test_a_chain_may_end_with_its_root_or_be_the_leaf_alone() -> None:
    whole = MAIL.chain + pem(ROOT.certificate)
    assert read(PairOctets(whole, MAIL.key)).pair.chain == whole
    leaf = pem(MAIL.certificate)
    assert read(PairOctets(leaf, MAIL.key)).pair.chain == leaf


@pytest.mark.parametrize("private", [rsa_key(), ec.generate_private_key(ec.SECP384R1())])
def test_keys_of_other_kinds_are_read(private: ec.EllipticCurvePrivateKey) -> None:
    assert read(octets(authority().issue("x.example", private=private)))


def test_a_key_in_the_old_form_of_openssl_is_read() -> None:
    old = MAIL.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    assert read(PairOctets(MAIL.chain, parameters + old)).pair.key == old


def test_a_certificate_without_alternative_names_stands_for_its_common_name() -> None:
    assert read(octets(authority().issue())).pair.names == ("nobody",)


_LEAF, _MIDDLE, _ROOT = pem(MAIL.certificate), pem(INTERMEDIATE.certificate), pem(ROOT.certificate)
_DSA = dsa.generate_private_key(2048).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
BAD: dict[str, tuple[bytes, bytes, str]] = {
    "empty chain": (b"", MAIL.key, "no certificate in PEM"),
    "empty key": (MAIL.chain, b"", "no key in PEM"),
    "DER": (MAIL.certificate.public_bytes(Encoding.DER), MAIL.key, "no certificate in PEM"),
    "key for chain": (MAIL.key, MAIL.key, "no certificate in PEM"),
    "chain for key": (MAIL.chain, MAIL.chain, "no key in PEM"),
    "half a chain": (MAIL.chain[:-30], MAIL.key, "cut off"),
    "half a key": (MAIL.chain, MAIL.key[:-30], "cut off"),
    "no base64": (_LEAF.replace(b"M", b"!"), MAIL.key, "certificate 1 cannot be read"),
    "second unread": (_LEAF + _MIDDLE.replace(b"M", b"!"), MAIL.key, "certificate 2 cannot be"),
    "key unread": (MAIL.chain, MAIL.key.replace(b"M", b"!"), "the key cannot be read"),
    "another key": (MAIL.chain, OTHER.key, "the key does not belong to the certificate"),
    "a key of another kind": (MAIL.chain, key_pem(rsa_key()), "the key does not belong"),
    "an encrypted key": (MAIL.chain, key_pem(MAIL.private, b"secret"), "the key is encrypted"),
    "a curve of no use": (
        MAIL.chain, key_pem(ec.generate_private_key(ec.SECP256K1())), "a kind that TLS does not"
    ),
    "a DSA key": (MAIL.chain, _DSA, "a kind that TLS does not"),
    "leaf last": (_MIDDLE + _LEAF, MAIL.key, "does not begin with the certificate of the key"),
    "a gap": (_LEAF + _ROOT, MAIL.key, "not in order: certificate 2 did not issue 1"),
    "wrong order": (_LEAF + _ROOT + _MIDDLE, MAIL.key, "certificate 2 did not issue 1"),
    "a stranger": (MAIL.chain + pem(OTHER.certificate), MAIL.key, "certificate 3 did not issue 2"),
    "twice": (_LEAF + _LEAF, MAIL.key, "certificate 2 did not issue 1"),
}  # fmt: skip


@pytest.mark.parametrize(("chain", "key", "why"), BAD.values(), ids=BAD)
def test_a_bad_pair_is_refused_with_its_reason(chain: bytes, key: bytes, why: str) -> None:
    with pytest.raises(CertificateInvalid, match=why):
        read(PairOctets(chain, key))


def test_a_made_pair_is_an_ecdsa_key_and_its_own_issuer() -> None:
    made = make(Make(["mail.example", "127.0.0.1"], START, START + timedelta(397)))
    told = read(made)
    assert told.self_signed
    assert told.pair.names == ("mail.example", "127.0.0.1")
    assert (told.not_before, told.not_after) == (START, START + timedelta(397))
    assert isinstance(x509.load_pem_x509_certificate(made.chain).public_key(), ECKey)


@pytest.mark.parametrize("name", ["mail.example", "localhost", "127.0.0.1", "::1"])
def test_a_made_pair_is_trusted_by_clients_that_are_told_to(name: str) -> None:
    now = datetime.now(UTC)
    names = ["mail.example", "localhost", "127.0.0.1", "::1"]
    made = make(Make(names, now - timedelta(hours=1), now + timedelta(1)))
    client = ssl.create_default_context(cadata=made.chain.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert Handshake(server_context([read(made).pair]), client, name).client.version() == "TLSv1.3"


def test_a_name_that_is_too_long_for_a_common_name_is_whole_in_the_names() -> None:
    name = ".".join(["a" * 50] * 3)
    made = make(Make([name], START, START + timedelta(1)))
    assert read(made).pair.names == (name,)


# --- the process --------------------


async def test_the_process_reads_and_makes() -> None:
    reader = CertificateReader()
    made = await reader.make(["mail.example"], START, START + timedelta(1))
    good, bad = await reader.read([made, PairOctets(made.chain, OTHER.key)])
    assert isinstance(good, Usable)
    assert good.pair.names == ("mail.example",)
    assert bad == Unusable("the key does not belong to the certificate")


def test_who_asks_does_not_load_the_library() -> None:
    program = (
        "import asyncio, sys\n"
        "from datetime import UTC, datetime\n"
        "import pop3_service.supervisor.process\n"
        "from pop3_service.supervisor.tls.reader import CertificateReader\n"
        "now = datetime.now(UTC)\n"
        "made = asyncio.run(CertificateReader().make(['x'], now, now))\n"
        "assert b'PRIVATE' in made.key\n"
        "print([name for name in sys.modules if name.startswith('cryptography')])\n"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout.strip() == "[]", told.stderr


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (("/no/such/program",), "No such file"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "status 3"),
    ],
)
async def test_a_process_that_fails_is_told(
    monkeypatch: pytest.MonkeyPatch, program: tuple[str, ...], why: str
) -> None:
    monkeypatch.setattr(reader, "PROGRAM", program)
    with pytest.raises(ServiceUnavailable, match=why):
        await CertificateReader().read([])


async def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(reader, "PROGRAM", waiting)
    monkeypatch.setattr(reader, "LIMIT_S", 0.1)
    async with asyncio.timeout(60):
        with pytest.raises(ServiceUnavailable, match="too long"):
            await CertificateReader().read([])


def test_no_message_shows_a_key() -> None:
    assert "PRIVATE" not in repr(octets(MAIL))
    assert "PRIVATE" not in repr(read(octets(MAIL)))
