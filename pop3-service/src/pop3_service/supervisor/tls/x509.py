"""Reads, checks and makes certificates, as a process of its own that ends when it has answered.

The library that does it takes 10 MB; in here it takes them for a moment. Keys come and go through
the pipes: ``python -m pop3_service.supervisor.tls.x509`` reads one question from standard input.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from datetime import UTC
from itertools import pairwise

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pop3_service.control.plane import CertificatePair
from pop3_service.domain.errors import CertificateInvalid
from pop3_service.supervisor.tls.messages import (
    MadeAnswer,
    Make,
    PairOctets,
    Question,
    Read,
    ReadAnswer,
    Reply,
    Unusable,
    Usable,
)

CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CERTIFICATE = b"CERTIFICATE"


# --- reading --------------------


def read(octets: PairOctets) -> Usable:
    """Read a pair and check that it can be used: all of it but its time.

    Raises:
        CertificateInvalid: it cannot.
    """
    chain_pem = [block for label, block in _blocks(octets.chain) if label == _CERTIFICATE]
    if not chain_pem:
        raise CertificateInvalid("there is no certificate in PEM")
    keys = [block for label, block in _blocks(octets.key) if label.endswith(b"PRIVATE KEY")]
    if not keys:
        raise CertificateInvalid("there is no key in PEM")
    chain, key = _certificates(chain_pem), _key(keys[0])
    _check(chain, key)
    leaf = chain[0]
    return Usable(
        CertificatePair(
            b"\n".join(chain_pem) + b"\n", keys[0] + b"\n", _names(leaf), end_point(leaf)
        ),
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
        leaf.issuer.rfc4514_string(),
        leaf.issuer == leaf.subject and _issued(leaf, leaf),
        leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def _blocks(octets: bytes) -> list[tuple[bytes, bytes]]:
    found = [(match[1], match[0]) for match in _BLOCK.finditer(octets)]
    if len(found) != octets.count(b"-----BEGIN "):
        raise CertificateInvalid("a block of PEM is cut off")
    return found


def _certificates(blocks: list[bytes]) -> list[x509.Certificate]:
    found = []
    for number, block in enumerate(blocks, 1):
        try:
            found.append(x509.load_pem_x509_certificate(block))
        except ValueError:
            raise CertificateInvalid(f"certificate {number} cannot be read") from None
    return found


def _key(block: bytes) -> PrivateKeyTypes:
    try:
        key = load_pem_private_key(block, None)
    except TypeError:
        raise CertificateInvalid("the key is encrypted") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateInvalid("the key cannot be read") from None
    match key:
        case rsa.RSAPrivateKey() | ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
            return key
        case ec.EllipticCurvePrivateKey() if isinstance(key.curve, CURVES):
            return key
    raise CertificateInvalid("the key is of a kind that TLS does not use")


def _check(chain: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    """Check that the key is the leaf's, and that each certificate issued the one before it."""
    public = key.public_key()
    owners = [number for number, it in enumerate(chain) if it.public_key() == public]
    if not owners:
        raise CertificateInvalid("the key does not belong to the certificate")
    if owners[0] != 0:
        raise CertificateInvalid("the chain does not begin with the certificate of the key")
    for number, (one, issuer) in enumerate(pairwise(chain), 1):
        if not _issued(one, issuer):
            raise CertificateInvalid(
                f"the chain is not in order: certificate {number + 1} did not issue {number}"
            )


def _issued(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def end_point(leaf: x509.Certificate) -> bytes:
    """Give the tls-server-end-point channel binding (RFC 5929 section 4.1); empty if undefined."""
    try:
        algorithm = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return b""
    if algorithm is None:  # Ed25519 and Ed448 sign without a hash of their own
        return b""
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return leaf.fingerprint(algorithm)


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Give the host names and addresses; of an old certificate without them, its common name."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(it.value) for it in common)
    except ValueError:
        raise CertificateInvalid("the certificate's names cannot be read") from None
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*found.get_values_for_type(x509.DNSName), *map(str, addresses))


# --- making --------------------


def make(wanted: Make) -> PairOctets:
    """Make an ECDSA key and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.names[0][:64])])
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([_alternative(it) for it in wanted.names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(wanted.not_before.astimezone(UTC))
        .not_valid_after(wanted.not_after.astimezone(UTC))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(key, hashes.SHA256())
    return PairOctets(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


# --- the process --------------------


def answer(question: Question) -> Reply:
    """Answer one question."""
    match question:
        case Make():
            return MadeAnswer(make(question))
        case Read(pairs):
            return ReadAnswer([_found(pair) for pair in pairs])


def _found(pair: PairOctets) -> Usable | Unusable:
    try:
        return read(pair)
    except CertificateInvalid as error:
        return Unusable(str(error))


def main() -> None:
    """Answer the question on standard input."""
    question: Question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Read | Make)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer(question)))


if __name__ == "__main__":
    main()
