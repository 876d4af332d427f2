"""Certificates made on the spot: an authority, what it signs, and what it should not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from pop3_service.control.plane import CertificatePair

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """A certificate, its key and its issuers; what tests write to files or hand to workers."""

    certificate: x509.Certificate
    private: Key
    issuers: tuple[x509.Certificate, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def chain(self) -> bytes:
        return b"".join(pem(it) for it in (self.certificate, *self.issuers))

    @property
    def key(self) -> bytes:
        return key_pem(self.private)

    @property
    def pair(self) -> CertificatePair:
        end_point = self.certificate.fingerprint(hashes.SHA256())
        return CertificatePair(self.chain, self.key, self.names, end_point)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write it as certbot names it."""
        folder.mkdir(parents=True, exist_ok=True)
        chain, key = folder / "fullchain.pem", folder / "privkey.pem"
        chain.write_bytes(self.chain)
        key.write_bytes(self.key)
        key.chmod(0o600)
        return chain, key


@dataclass
class Authority:
    """A root, and an intermediate that signs what is issued."""

    root: Issued = field(default_factory=lambda: _made("Root", authority=True))
    intermediate: Issued = field(init=False)

    def __post_init__(self) -> None:
        self.intermediate = _made("Intermediate", self.root, authority=True)

    def issue(
        self,
        *names: str,
        start: datetime | None = None,
        life: timedelta = 90 * DAY,
        private: Key | None = None,
    ) -> Issued:
        """Give a certificate for host names; it begins a day ago unless told otherwise."""
        made = _made(
            names[0] if names else "nobody", self.intermediate, names, start, life, private
        )
        issuers = (self.intermediate.certificate,)
        return Issued(made.certificate, made.private, issuers, names)


@cache
def authority() -> Authority:
    """The one that most tests share."""
    return Authority()


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """An RSA key; they take long to make."""
    return rsa.generate_private_key(65537, bits)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(private: Key, password: bytes | None = None) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _made(
    subject: str,
    issuer: Issued | None = None,
    names: Sequence[str] = (),
    start: datetime | None = None,
    life: timedelta = 90 * DAY,
    private: Key | None = None,
    *,
    authority: bool = False,
) -> Issued:
    private = private or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    start = start or datetime.now(UTC) - DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + life)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False)
    )
    if issuer:  # strict clients, Python 3.13 among them, ask for it
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.private.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if authority:
        builder = builder.add_extension(_SIGNS, critical=True)
    if names:
        alternatives = [x509.DNSName(it) for it in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    signer = issuer.private if issuer else private
    return Issued(builder.sign(signer, hashes.SHA256()), private)
