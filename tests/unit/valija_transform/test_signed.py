"""Signed and encrypted mail is noticed, and stays as it is."""

from __future__ import annotations

import base64

import pytest

from support.programs import ALL, HTML, PDF, PLAIN, mail, multipart, part, passed
from valija_transform.protection import Seal, Signed, seal_of
from valija_transform.structure import read_structure

SIGNATURE = part("application/pgp-signature; name=signature.asc", "-----BEGIN PGP SIGNATURE-----")
ARMOURED = [
    "-----BEGIN PGP SIGNED MESSAGE-----", "Hash: SHA256", "", "see http://evil.example/x",
    "-----BEGIN PGP SIGNATURE-----", "iQ==", "-----END PGP SIGNATURE-----",
]  # fmt: skip
SECRET = ["-----BEGIN PGP MESSAGE-----", "", "hQ==", "-----END PGP MESSAGE-----"]
SMIME = "application/pkcs7-mime; smime-type="
SIGNED = {
    "multipart": multipart("signed", [PLAIN, SIGNATURE]),
    "opaque": mail(f"Content-Type: {SMIME}signed-data; name=smime.p7m", "", "MIIB"),
    "inline": mail("Subject: x", "", *ARMOURED),
    "inline, CRLF": mail("Subject: x", "", *ARMOURED, eol="\r\n"),
    "inline, base64": mail("Content-Transfer-Encoding: base64", "")
    + base64.encodebytes(mail(*ARMOURED)),
}
ENCRYPTED = {
    "multipart": multipart("encrypted", [part("application/pgp-encrypted", "Version: 1"), PDF]),
    "opaque": mail(f"Content-Type: {SMIME}enveloped-data; name=smime.p7m", "", "MIIB"),
    "not said": mail("Content-Type: application/x-pkcs7-mime", "", "MIIB"),
    "inline": mail("Subject: x", "", *SECRET, "http://evil.example"),
}


@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("options", ALL)
def test_signed_mail_keeps_its_octets(name: str, options: tuple[str, ...]) -> None:
    assert seal_of(read_structure(SIGNED[name])) is Seal.SIGNED
    assert passed(SIGNED[name], *options) == SIGNED[name]


@pytest.mark.parametrize("name", ENCRYPTED)
@pytest.mark.parametrize("options", ALL)
def test_encrypted_mail_keeps_its_octets_whatever_is_asked(
    name: str, options: tuple[str, ...]
) -> None:
    assert seal_of(read_structure(ENCRYPTED[name])) is Seal.ENCRYPTED
    for signed in Signed:
        assert passed(ENCRYPTED[name], *options, signed=signed) == ENCRYPTED[name]


def test_signed_mail_is_changed_on_demand() -> None:
    for name in ("multipart", "inline"):
        after = passed(SIGNED[name], "defang", signed=Signed.CHANGE)
        assert after == SIGNED[name].replace(b"http://evil.", b"hxxp://evil[.]")
    assert passed(SIGNED["opaque"], "strip-attachments", signed=Signed.CHANGE) == SIGNED["opaque"]


def test_a_signed_part_stays_and_what_is_beside_it_is_changed() -> None:
    inner = SIGNED["multipart"].replace(b"B", b"S").rstrip(b"\n")
    before = multipart("mixed", [inner, PLAIN, PDF])
    after = passed(passed(before, "defang"), "strip-attachments")
    told = PLAIN.replace(b"http://evil.", b"hxxp://evil[.]")
    assert after == multipart("mixed", [inner, told])
    assert passed(before, "text-only") == before


def test_a_signed_text_among_alternatives_stays() -> None:
    signed = part("text/plain", "\n".join(ARMOURED))
    after = passed(multipart("alternative", [signed, HTML]), "defang")
    assert signed in after
    assert b"href" not in after


def test_dkim_alone_holds_nothing_back_unless_asked() -> None:
    before = mail("DKIM-Signature: v=1; a=rsa-sha256", "", "http://evil.example")
    assert passed(before, "defang") != before
    assert passed(before, "defang", signed=Signed.KEEP_DKIM) == before
    assert passed(SIGNED["inline"], "defang", signed=Signed.KEEP_DKIM) == SIGNED["inline"]


def test_words_about_pgp_are_no_signature() -> None:
    for text in ("> -----BEGIN PGP SIGNED MESSAGE-----", "x -----BEGIN PGP MESSAGE-----"):
        before = mail("", text, "http://evil.example")
        assert passed(before, "defang") != before
