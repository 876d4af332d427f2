"""Passwords as Dovecot has them: what is taken, what is refused and why."""

from __future__ import annotations

import base64
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pop3_service.domain.errors import InvalidArgument
from pop3_service.supervisor.identity.old_hashes import is_old, matches_old, read_old_password
from pop3_service.supervisor.identity.passwd_file import read_passwd_file

ARGON2ID = (
    "$argon2id$v=19$m=65536,t=3,p=1$OGAI2LmfbWwOQOa2zodyWw"
    "$JyYWh5zTIciJQAm1UTLyQz4KZFrbx8ohdTJkhU0eh64"
)
ARGON2I = (
    "$argon2i$v=19$m=32768,t=4,p=1$lVchNc6O8S9XEw59vyGk4Q"
    "$pG0I8pFXB0TzshlBfW1DyDMP65BxRQcdj9mrptR4TiU"
)
BCRYPT = "$2y$05$1wvhIAvQxqG0jnHJwTezK.yF.Nl1CdCzARM9KpaU7xtyqGbSL4jPC"
SHA512 = (
    "$6$7cLNGWRV4noKe2SH$oEAtBK314yuhmVeF6z10cE2cXo6ejjSHrkOqN8Sf2qp"
    "/OS7CpH.J6KqBNnobW9xynS8iVYC3BT/WsYRDQ5okj1"
)
SHA256 = "$5$GjMmvkgD7/Fnh6QW$AxRsfbTAutISRyV3RTg1Hui2HAY4uC8VErS2WQm8oi6"
MADE_BY_DOVECOT = {
    "ARGON2ID": ARGON2ID,
    "ARGON2I": ARGON2I,
    "BLF-CRYPT": BCRYPT,
    "SHA512-CRYPT": SHA512,
    "SHA256-CRYPT": SHA256,
}
"""Hashes of ``secret`` that doveadm pw made."""


@pytest.mark.parametrize("scheme", MADE_BY_DOVECOT)
def test_a_hash_that_dovecot_made_is_taken_and_checked(scheme: str) -> None:
    hashed = MADE_BY_DOVECOT[scheme]
    encoded = base64.b64encode(hashed.encode()).decode()
    for text in (
        f"{{{scheme}}}{hashed}",
        f"{{{scheme.lower()}}}{hashed}",
        f"{{{scheme}.b64}}{encoded}",
        f"{{{scheme}.BASE64}}{encoded}",
        f"{{{scheme}.HEX}}{hashed.encode().hex()}",
        f"{{CRYPT}}{hashed}",
        hashed,
    ):
        password = read_old_password(text)
        assert password.scheme == scheme
        assert password.stored == f"{{{scheme}}}{hashed}"
    assert is_old(password.stored)
    assert matches_old(password.stored, b"secret")
    for wrong in (b"", b"Secret", b"secret ", b"secret\0", b"\xff", b"x" * 1024):
        assert not matches_old(password.stored, wrong)


@pytest.mark.parametrize("scheme", ["PLAIN", "CLEARTEXT", "plain"])
def test_a_password_in_clear_is_given_to_be_hashed(scheme: str) -> None:
    for text in (f"{{{scheme}}}pa{{ss}} ñ", f"{{{scheme}.hex}}7061{b'{ss} '.hex()}c3b1"):
        password = read_old_password(text)
        assert (password.clear, password.stored) == ("pa{ss} ñ".encode(), "")


def test_neither_hash_nor_password_is_in_a_repr() -> None:
    for text in (SHA512, "{PLAIN}secret"):
        assert "secret" not in repr(read_old_password(text))
        assert "oEAt" not in repr(read_old_password(text))
    assert "oEAt" not in repr([*read_passwd_file(f"ana:{SHA512}:::\n".encode())])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no password"),
        ("{MD5-CRYPT}$1$abc$x", "scheme MD5-CRYPT is not taken"),
        ("{SSHA256}AAAA", "scheme SSHA256 is not taken"),
        ("{DIGEST-MD5}0123", "scheme DIGEST-MD5 is not taken"),
        ("{CRYPT}abJnggxhB/yWI", "this kind of crypt is not taken"),
        ("$1$abc$zzz", "this kind of crypt is not taken"),
        ("!", "this kind of crypt is not taken"),
        ("*", "this kind of crypt is not taken"),
        ("{SHA512-CRYPT}" + SHA256, "no hash of SHA512-CRYPT"),
        ("{ARGON2ID}" + ARGON2I, "no hash of ARGON2ID"),
        ("{SHA512-CRYPT}" + SHA512[:-1], "no hash of SHA512-CRYPT"),
        ("{SHA512-CRYPT}" + SHA512 + "x", "no hash of SHA512-CRYPT"),
        ("{SHA512-CRYPT}" + SHA512[:-1] + "ñ", "no hash of SHA512-CRYPT"),
        ("{SHA512-CRYPT}" + SHA512 + "\n", "no hash of SHA512-CRYPT"),
        ("{BLF-CRYPT}" + BCRYPT[:20], "no hash of BLF-CRYPT"),
        ("{SHA512-CRYPT.b64}???", "encoding cannot be read"),
        ("{SHA512-CRYPT.hex}xyz", "encoding cannot be read"),
        ("{SHA512-CRYPT.zip}xyz", "encoding cannot be read"),
        ("{PLAIN}" + "x" * 2000, "more than 1024 characters"),
    ],
)
def test_what_is_not_taken_is_told_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidArgument, match=why) as error:
        read_old_password(text)
    assert "oEAt" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        SHA512.replace("$6$", "$6$rounds=999999999$"),
        SHA512.replace("$6$", "$6$rounds=1000001$"),
        SHA512.replace("$6$", "$6$rounds=1$"),
        SHA256.replace("$5$", "$5$rounds=999999999$"),
        BCRYPT.replace("$05$", "$17$"),
        BCRYPT.replace("$05$", "$31$"),
        BCRYPT.replace("$05$", "$03$"),
        ARGON2ID.replace("m=65536", "m=262145"),
        ARGON2ID.replace("m=65536", "m=999999999"),
        ARGON2ID.replace("t=3", "t=9999"),
        ARGON2ID.replace("t=3", "t=0"),
        ARGON2ID.replace("p=1", "p=0"),
        ARGON2ID.replace("m=65536,t=3,p=1", "m=16,t=1,p=255"),
    ],
)
def test_a_hash_that_would_cost_too_much_to_check_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"not taken|costs too much"):
        read_old_password(text)


def test_rounds_within_bounds_are_taken() -> None:
    from passlib.hash import sha512_crypt

    hashed = sha512_crypt.using(rounds=20_000).hash("secret")
    assert "rounds=20000" in hashed
    assert matches_old(read_old_password(hashed).stored, b"secret")


def test_bcrypt_reads_72_octets_as_it_did_there() -> None:
    import bcrypt

    long = b"x" * 72
    stored = read_old_password(bcrypt.hashpw(long, bcrypt.gensalt(4)).decode()).stored
    assert matches_old(stored, long + b" and more")
    assert not matches_old(stored, long[:-1])


@given(st.text(max_size=80), st.binary(max_size=80))
def test_any_field_is_refused_or_can_be_checked(text: str, password: bytes) -> None:
    for start in ("", "{CRYPT}", "{BLF-CRYPT}$2y$05$", "{SHA256-CRYPT.hex}", "{ARGON2I}$argon2i$"):
        try:
            found = read_old_password(start + text)
        except InvalidArgument:
            continue
        assert found.clear or found.scheme in {"PLAIN", "CLEARTEXT"}


# --- the file --------------------


def test_a_passwd_file_is_read_line_by_line() -> None:
    text = f"""# users
ana:{SHA512}:1000:1000:Ana:/home/ana:/bin/false:userdb_quota=1G

  eva@example.org:{{PLAIN}}secret
bob:{{BLF-CRYPT}}{BCRYPT}\r
"""
    found = [*read_passwd_file(text.encode())]
    assert [(it.number, it.name) for it in found] == [
        (2, "ana"),
        (4, "eva@example.org"),
        (5, "bob"),
    ]
    assert [it.password and it.password.scheme for it in found] == [
        "SHA512-CRYPT",
        "PLAIN",
        "BLF-CRYPT",
    ]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"ana", "no password field"),
        (b"ana:", "no password"),
        (b"ana::1000:1000::", "no password"),
        (b"ana:\xff", "no UTF-8"),
        (b"ana:{PLAIN}x:::::: nologin", "nologin is set"),
        (b"ana:{PLAIN}x::::::nologin=y userdb_mail=x", "nologin is set"),
        (b"ana:{PLAIN}x::::::userdb_x=a:b allow_nets=10.0.0.0/8", "allow_nets is set"),
        (b"ana:{PLAIN}x::::::nopassword", "nopassword is set"),
        (b"ana:{PLAIN}x::::::proxy=y host=other", "proxy is set"),
        (b"ana:{PLAIN}x::::::user=other", "user is set"),
    ],
)
def test_a_line_that_makes_no_account_says_why(line: bytes, why: str) -> None:
    [found] = read_passwd_file(line)
    assert found.password is None
    assert why in found.why


@given(st.binary(max_size=200))
def test_any_octets_are_lines_or_none(data: bytes) -> None:
    for line in read_passwd_file(data):
        assert (line.password is None) is bool(line.why)


FIRST_USE = """
import sys, threading
from pop3_service.supervisor.identity.old_hashes import matches_old
sys.setswitchinterval(1e-6)
start, found = threading.Barrier(8), []
def check(scheme):
    start.wait()
    found.append(matches_old(f"{{{scheme}}}" + "x", b"secret"))
schemes = ["SHA256-CRYPT", "SHA512-CRYPT"] * 4
threads = [threading.Thread(target=check, args=(it,)) for it in schemes]
for it in threads: it.start()
for it in threads: it.join()
print(found)
"""


def test_logins_at_once_wait_for_what_the_first_loads() -> None:
    for _ in range(3):
        run = subprocess.run([sys.executable, "-c", FIRST_USE], capture_output=True, text=True)
        assert run.stdout.strip() == str([False] * 8), run.stderr
