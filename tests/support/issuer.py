"""An issuer of bearer tokens: its keys, the tokens it signs, and its https server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from joserfc import jwk, jws

from support.certificates import authority, pem

ISSUER = "https://issuer.test/realm"
AUDIENCE = "valija"


def rsa_key(kid: str | None = "rsa", **more: Any) -> jwk.RSAKey:
    return jwk.RSAKey.generate_key(2048, _parameters(kid, more))


def ec_key(kid: str | None = "ec", curve: str = "P-256", **more: Any) -> jwk.ECKey:
    return jwk.ECKey.generate_key(curve, _parameters(kid, more))


def ed_key(kid: str | None = "ed", curve: str = "Ed25519", **more: Any) -> jwk.OKPKey:
    return jwk.OKPKey.generate_key(curve, _parameters(kid, more))


def key_set(*keys: jwk.Key, **more: Any) -> bytes:
    """A JWK set of their public halves."""
    return json.dumps({"keys": [it.as_dict(private=False) for it in keys], **more}).encode()


def token(
    key: jwk.Key,
    now_s: float,
    algorithm: str = "ES256",
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A token that is valid for five minutes; a claim of None is left out."""
    said = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "email": "ana@example.org",
        "iat": int(now_s),
        "exp": int(now_s) + 300,
        **claims,
    }
    said = {name: value for name, value in said.items() if value is not None}
    headers = {"alg": algorithm, "kid": key.kid, **(header or {})}
    headers = {name: value for name, value in headers.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    return jws.serialize_compact(headers, json.dumps(said), key, registry=registry)


def part(value: object) -> str:
    """A part of a token, as written."""
    octets = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def with_secret(header: dict[str, Any], payload: str, secret: bytes) -> str:
    """A token whose signature is an HMAC."""
    signed = f"{part(header)}.{payload}"
    return f"{signed}.{part(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


class KeyServer:
    """What an issuer's https server answers; ``asked`` counts the questions."""

    def __init__(self, folder: Path) -> None:
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked = 0
        self.go = threading.Event()
        self.go.set()
        """Cleared, it lets who asks wait."""
        self.authorities = folder / "authorities.pem"
        self.authorities.write_bytes(pem(authority().root.certificate))
        self.address = ""


@contextlib.contextmanager
def key_server(folder: Path, name: str = "localhost") -> Iterator[KeyServer]:
    """Serve until the end of the block, with a certificate for a name."""
    served = KeyServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked += 1
            served.go.wait(30)
            self.send_response(served.status)
            for header, value in served.headers.items():
                self.send_header(header, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(served.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority().issue(name).write(folder / f"server-{name}"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    served.address = f"https://localhost:{server.server_address[1]}/keys"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.go.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _parameters(kid: str | None, more: dict[str, Any]) -> Any:
    return {**({"kid": kid} if kid else {}), **more}
