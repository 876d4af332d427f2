"""JSON Web Tokens and their keys (RFC 7515, 7517 and 7519), by joserfc.

It and what it needs cost 10 MB in memory, so this module is imported once tokens are switched on.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.jwt import JWTClaimsRegistry

from pop3_service.domain.errors import InvalidToken, UnknownTokenKey

LEEWAY_S = 60
"""Seconds by which the clocks of issuer and service may differ."""
MAX_KEYS = 100
"""Keys of a set that are looked at."""
MAX_TOKEN = 64 * 1024
LEAST_RSA_BITS = 2048

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
BY_CURVE = {
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
    "Ed448": ("EdDSA", "Ed448"),
}
"""The algorithms of each kind of key. All are asymmetric: who can check cannot make a token."""
TYPES = frozenset({"jwt", "at+jwt"})
"""What a token says that it is, where it says so (RFC 9068 section 2.1): not, say, a logout."""

MALFORMED = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What joserfc raises for input that is not of the standards' form."""

# "EdDSA" is what issuers write; RFC 9864 would have them name the curve.
warnings.filterwarnings("ignore", category=SecurityWarning)


class UnusableKeys(Exception):
    """A key set is none, or no key in it can check a token."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A public key, and the algorithms that it may be used with."""

    kid: str | None
    algorithms: frozenset[str]
    key: Key


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must say; ``now_s`` is Unix time."""

    issuer: str
    audience: str
    now_s: float


def read_keys(octets: bytes) -> tuple[TokenKey, ...]:
    """Read a JWK set (RFC 7517 section 5); keys that cannot check a token are left out.

    Raises:
        UnusableKeys: it is not one, or no key is left.
    """
    try:
        found = json.loads(octets)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UnusableKeys("it is no JWK set") from None
    if not isinstance(found, list):
        raise UnusableKeys("it is no JWK set")
    keys = tuple(key for it in found[:MAX_KEYS] if (key := _usable(it)) is not None)
    if not keys:
        raise UnusableKeys("there is no key in it that can check a token")
    return keys


def verify(token: str, keys: Sequence[TokenKey], rules: Rules) -> dict[str, Any]:
    """Check a token's signature, issuer, audience and times; give its claims.

    Keys that the token itself brings or names an address of are not looked at.

    Raises:
        UnknownTokenKey: the key it is signed with is not among ``keys``.
        InvalidToken: anything else is wrong.
    """
    if len(token) > MAX_TOKEN:
        raise InvalidToken("it is too long")
    try:
        signed = extract_compact(token.encode(), registry=_registry(()))
        algorithm, candidates = _fitting(signed, keys)
        registry = _registry((algorithm,))
        if not any(validate_compact(signed, it.key, registry=registry) for it in candidates):
            raise InvalidToken("the signature is wrong")
        claims = json.loads(signed.payload)
        _check(claims, rules)
    except InvalidToken:
        raise
    except JoseError as error:
        raise InvalidToken(f"{error.error}: {error.description}") from None
    except MALFORMED:
        raise InvalidToken("it is no JSON Web Token") from None
    return dict(claims)


def _registry(algorithms: Sequence[str]) -> JWSRegistry:
    """Give joserfc's rules for a token, with room for headers that carry certificates."""
    registry = JWSRegistry(algorithms=algorithms, strict_check_header=False)
    registry.max_header_length = registry.max_payload_length = MAX_TOKEN
    return registry


def _fitting(signed: CompactSignature, keys: Sequence[TokenKey]) -> tuple[str, Sequence[TokenKey]]:
    """Give the token's algorithm and the keys that it may be signed with.

    The algorithm must be one of the key's: a public key is never taken for a secret.
    """
    header = signed.headers()
    algorithm, kid = header["alg"], header.get("kid")
    if not any(algorithm in names for names in (RSA, *BY_CURVE.values())):
        raise InvalidToken("its algorithm is not allowed")
    if "crit" in header:
        raise InvalidToken("it asks for extensions")
    kind = header.get("typ", "JWT").lower().removeprefix("application/")
    if kind not in TYPES:
        raise InvalidToken("it is a token for something else")
    named = [it for it in keys if kid is None or it.kid == kid]
    if not named:
        raise UnknownTokenKey("its key is not known")
    fitting = [it for it in named if algorithm in it.algorithms]
    if not fitting:
        raise InvalidToken("its algorithm is not its key's")
    return algorithm, fitting


def _check(claims: Any, rules: Rules) -> None:
    if not isinstance(claims, dict):
        raise InvalidToken("it has no claims")
    JWTClaimsRegistry(
        now=int(rules.now_s),
        leeway=LEEWAY_S,
        iss={"essential": True, "value": rules.issuer},
        aud={"essential": True, "value": rules.audience},
        exp={"essential": True},
    ).validate(claims)


def _usable(data: Any) -> TokenKey | None:
    """Give a key that may check a token's signature, or None."""
    try:
        key = JWKRegistry.import_key(data)
        if key.is_private:
            return None
        key.check_use("sig")
        key.check_key_op("verify")
        algorithms = _algorithms(key)
        if key.alg is not None:
            algorithms &= {key.alg}
    except MALFORMED:
        return None
    return TokenKey(key.kid, algorithms, key) if algorithms else None


def _algorithms(key: Key) -> frozenset[str]:
    match key:
        case RSAKey() if key.public_key.key_size >= LEAST_RSA_BITS:
            return frozenset(RSA)
        case ECKey() | OKPKey():
            return frozenset(BY_CURVE.get(key.curve_name, ()))
        case OctKey() | _:
            return frozenset()
