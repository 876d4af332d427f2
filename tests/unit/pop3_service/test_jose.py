from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk

from pop3_service.domain.errors import InvalidToken, UnknownTokenKey
from pop3_service.supervisor.authentication import jose
from support.issuer import (
    AUDIENCE,
    ISSUER,
    ec_key,
    ed_key,
    key_set,
    part,
    rsa_key,
    token,
    with_secret,
)

NOW = 1_800_000_000.0
RULES = jose.Rules(ISSUER, AUDIENCE, NOW)
RSA_KEY, EC_KEY, ED_KEY = rsa_key(), ec_key(), ed_key()
KEYS = jose.read_keys(key_set(RSA_KEY, EC_KEY, ED_KEY))


def check(text: str, keys: Any = KEYS, rules: jose.Rules = RULES) -> dict[str, Any]:
    return jose.verify(text, keys, rules)


def refused(text: str, why: str, keys: Any = KEYS) -> None:
    with pytest.raises(InvalidToken) as error:
        check(text, keys)
    assert why in error.value.why
    assert str(error.value) == "the token is not valid here"


# --- what is taken --------------------


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        *((RSA_KEY, name) for name in jose.RSA),
        (EC_KEY, "ES256"),
        (ec_key(curve="P-384"), "ES384"),
        (ec_key(curve="P-521"), "ES512"),
        (ED_KEY, "EdDSA"),
        (ED_KEY, "Ed25519"),
        (ed_key(curve="Ed448"), "EdDSA"),
        (ed_key(curve="Ed448"), "Ed448"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
@pytest.mark.filterwarnings("ignore")
def test_a_token_signed_by_a_known_key_gives_its_claims(key: jwk.Key, algorithm: str) -> None:
    claims = check(token(key, NOW, algorithm, more=[1]), jose.read_keys(key_set(key)))
    assert claims["email"] == "ana@example.org"
    assert claims["more"] == [1]


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
def test_a_token_may_say_that_it_is_one(kind: str) -> None:
    assert check(token(EC_KEY, NOW, header={"typ": kind}))


def test_the_service_may_be_one_of_several_audiences() -> None:
    assert check(token(EC_KEY, NOW, aud=["other", AUDIENCE]))


def test_a_token_without_a_kid_is_tried_with_each_key_of_its_kind() -> None:
    others = jose.read_keys(key_set(ec_key("a"), RSA_KEY, ec_key("b"), EC_KEY))
    assert check(token(EC_KEY, NOW, header={"kid": None}), others)
    refused(token(ec_key(), NOW, header={"kid": None}), "signature", others)


def test_headers_that_nobody_knows_are_passed_over() -> None:
    assert check(token(EC_KEY, NOW, header={"nonce": "x", "x5c": ["A" * 3000]}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW - 59},
        {"nbf": NOW + 60},
        {"iat": NOW + 60},
        {"exp": NOW + 0.5, "iat": None},
        {"exp": 2**62},
    ],
)
def test_clocks_may_differ_by_a_minute(claims: dict[str, Any]) -> None:
    assert check(token(EC_KEY, NOW, **claims))


# --- what is refused --------------------


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": NOW - 60}, "expired"),
        ({"exp": NOW - 10_000}, "expired"),
        ({"exp": None}, "missing_claim"),
        ({"exp": "2099"}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": 1e999}, "exp"),
        ({"exp": float("nan")}, "exp"),
        ({"nbf": NOW + 61}, "not yet valid"),
        ({"nbf": "soon"}, "nbf"),
        ({"iat": NOW + 61}, "issued in the future"),
        ({"iat": []}, "iat"),
        ({"iss": None}, "missing_claim"),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"iss": [ISSUER]}, "iss"),
        ({"iss": ""}, "iss"),
        ({"aud": None}, "missing_claim"),
        ({"aud": "other"}, "aud"),
        ({"aud": ["other"]}, "aud"),
        ({"aud": []}, "aud"),
        ({"aud": [[AUDIENCE]]}, "aud"),
        ({"aud": AUDIENCE.upper()}, "aud"),
    ],
)
def test_a_claim_that_does_not_fit_is_refused(claims: dict[str, Any], why: str) -> None:
    refused(token(EC_KEY, NOW, **claims), why)


def test_a_token_without_a_signature_is_refused() -> None:
    _, payload, signature = token(EC_KEY, NOW).split(".")
    for name in ("none", "None", "NONE", "nOnE"):
        for header in ({"alg": name}, {"alg": name, "kid": "ec"}):
            refused(f"{part(header)}.{payload}.", "algorithm")
            refused(f"{part(header)}.{payload}.{signature}", "algorithm")
    refused(f"{part({'alg': 'ES256', 'kid': 'ec'})}.{payload}.", "signature")


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    _, payload, _ = token(RSA_KEY, NOW, "RS256").split(".")
    public = RSA_KEY.public_key
    secrets = [
        RSA_KEY.as_pem(private=False),
        public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        key_set(RSA_KEY),
        RSA_KEY.as_dict(private=False)["n"].encode(),  # type: ignore[union-attr]
        b"",
    ]
    for secret in secrets:
        for kid in ("rsa", "ec", None):
            header = {"alg": "HS256", **({"kid": kid} if kid else {})}
            refused(with_secret(header, payload, secret), "algorithm is not allowed")
            forged = {**header, "alg": "RS256"}
            with pytest.raises(InvalidToken):
                check(with_secret(forged, payload, secret))


def test_a_secret_in_a_key_set_is_passed_over() -> None:
    secret = {"kty": "oct", "k": part(b"x" * 32), "kid": "secret", "alg": "HS256"}
    public = [it.as_dict(private=False) for it in (EC_KEY,)]
    keys = jose.read_keys(json.dumps({"keys": [secret, *public]}).encode())
    assert [key.kid for key in keys] == ["ec"]
    _, payload, _ = token(EC_KEY, NOW).split(".")
    refused(with_secret({"alg": "HS256", "kid": "secret"}, payload, b"x" * 32), "algorithm", keys)


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA_KEY, "RS256", "ec"), (EC_KEY, "ES256", "rsa"), (ED_KEY, "EdDSA", "ec")],
)
@pytest.mark.filterwarnings("ignore")
def test_an_algorithm_that_is_not_its_keys_is_refused(
    key: jwk.Key, algorithm: str, kid: str
) -> None:
    refused(token(key, NOW, algorithm, {"kid": kid}), "not its key's")


def test_a_key_that_names_its_algorithm_is_used_with_no_other() -> None:
    key = rsa_key("one", alg="PS256")
    keys = jose.read_keys(key_set(key))
    assert check(token(key, NOW, "PS256"), keys)
    plain = jwk.RSAKey.import_key(key.raw_value, {"kid": "one"})
    refused(token(plain, NOW, "RS256"), "not its key's", keys)


def test_a_curve_goes_with_its_own_algorithm() -> None:
    signed = token(EC_KEY, NOW)
    _, payload, signature = signed.split(".")
    header = part({"alg": "ES384", "kid": "ec"})
    refused(f"{header}.{payload}.{signature}", "not its key's")


def test_a_token_of_an_unknown_key_is_told_apart() -> None:
    with pytest.raises(UnknownTokenKey):
        check(token(ec_key("new"), NOW))
    _, payload, signature = token(EC_KEY, NOW).split(".")
    with pytest.raises(UnknownTokenKey):
        check(f"{part({'alg': 'ES256', 'kid': 5})}.{payload}.{signature}")


def test_another_key_of_the_same_name_is_refused() -> None:
    refused(token(ec_key("ec"), NOW), "signature")


def test_a_key_that_the_token_brings_along_is_not_looked_at() -> None:
    own = ec_key("own")
    for kid, refusal in (("own", UnknownTokenKey), ("ec", InvalidToken), (None, InvalidToken)):
        for brought in (
            {"jwk": own.as_dict(private=False)},
            {"jku": "https://attacker.test/keys"},
            {"x5u": "https://attacker.test/chain"},
        ):
            with pytest.raises(refusal):
                check(token(own, NOW, header={"kid": kid, **brought}))


@pytest.mark.parametrize("names", [["exp"], ["b64"], [], "exp", None, 5])
def test_a_token_that_asks_for_extensions_is_refused(names: object) -> None:
    _, payload, signature = token(EC_KEY, NOW).split(".")
    header = part({"alg": "ES256", "kid": "ec", "crit": names, "b64": True})
    refused(f"{header}.{payload}.{signature}", "extensions")


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", ""])
def test_a_token_for_something_else_is_refused(kind: str) -> None:
    refused(token(EC_KEY, NOW, header={"typ": kind}), "something else")


def test_a_changed_token_is_refused() -> None:
    header, payload, signature = token(EC_KEY, NOW).split(".")
    other = part({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 300, "email": "eve@example.org"})
    refused(f"{header}.{other}.{signature}", "signature")
    refused(f"{header}.{payload}.{signature[:-4]}", "signature")
    refused(f"{header}.{payload}.{part(bytes(64))}", "signature")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        "opaque-token-of-some-issuer",
        "\x00",
        f"{part([])}.{part({})}.{part(b'')}",
        f"{part('alg')}.{part({})}.{part(b'')}",
        f"{part({})}.{part({})}.{part(b'')}",
        f"{part({'alg': ['ES256']})}.{part({})}.",
        f"{part({'alg': 'ES256', 'typ': 5})}.{part({})}.",
        f"{part(b'[' * 40_000)}.{part({})}.",
        f"{part(b'{')}.{part({})}.",
        "x" * (jose.MAX_TOKEN + 1),
    ],
    ids=range(15),
)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        check(text)


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"5", b"null", b"{", b"\xff", b"[" * 30_000, b'{"exp":1' + b"0" * 5000]
)
def test_a_signed_payload_that_is_no_claims_is_refused(payload: bytes) -> None:
    from joserfc import jws

    signed = jws.serialize_compact({"alg": "ES256", "kid": "ec"}, payload, EC_KEY)
    with pytest.raises(InvalidToken):
        check(signed)


# --- key sets --------------------


@pytest.mark.parametrize(
    "octets",
    [b"", b"{}", b"[]", b"5", b'"keys"', b'{"keys": {}}', b'{"keys": []}', b"\xff", b"[" * 99_999,
     b'{"keys": [5, null, "x", {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}]}'],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_key_set_is_refused(octets: bytes) -> None:
    with pytest.raises(jose.UnusableKeys):
        jose.read_keys(octets)


def test_a_private_key_is_none_to_be_told_to_others() -> None:
    leaked = json.dumps({"keys": [EC_KEY.as_dict(private=True)]}).encode()
    with pytest.raises(jose.UnusableKeys):
        jose.read_keys(leaked)


@pytest.mark.filterwarnings("ignore")
def test_keys_that_cannot_check_a_token_are_left_out() -> None:
    unusable = [
        jwk.RSAKey.generate_key(1024, {"kid": "weak"}),
        ec_key("for encryption", use="enc"),
        ec_key("to sign with", key_ops=["sign"]),
        ec_key("odd curve", curve="secp256k1"),
        ed_key("to agree on keys", curve="X25519"),
        rsa_key("encryption", alg="RSA-OAEP"),
    ]
    keys = jose.read_keys(key_set(*unusable, EC_KEY))
    assert [key.kid for key in keys] == ["ec"]
    with pytest.raises(jose.UnusableKeys):
        jose.read_keys(key_set(*unusable))


def test_no_more_keys_are_looked_at_than_a_set_may_have() -> None:
    many = json.loads(key_set(EC_KEY))["keys"] * (jose.MAX_KEYS + 5)
    assert len(jose.read_keys(json.dumps({"keys": many}).encode())) == jose.MAX_KEYS
