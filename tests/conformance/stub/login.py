"""What the stub says before login, and of itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from conformance.stub.sasl import Refused, Sasl

if TYPE_CHECKING:
    from conformance.stub.talk import Talk

MECHANISMS = "PLAIN LOGIN SCRAM-SHA-256"
LANGUAGES = {"en": "English", "es": "Español"}


def _user(talk: Talk, words: list[str]) -> None:
    talk.name = words[0].encode("utf-8", "surrogateescape")
    if talk.wrong("controls of a name are echoed"):
        talk.ok(f"hello {words[0]}"[:200])
    elif talk.wrong("unknown names are told at USER") and words[0] != talk.stub.user:
        talk.err("nobody", "AUTH")
    else:
        talk.ok("name accepted")


def _pass(talk: Talk, words: list[str]) -> None:
    if talk.name is None and talk.wrong("PASS needs no USER"):
        talk.name = talk.stub.user.encode()
    if talk.name is None:
        talk.err("USER first")
        return
    name, password = talk.name, words[0].encode("utf-8", "surrogateescape")
    if not talk.wrong("a refused PASS keeps the name"):
        talk.name = None
    if talk.wrong("names are paths"):
        name = re.sub(rb"^(\.\.?/|/)|/\.?$", b"", name)
    right = talk.stub.password.encode()
    if talk.wrong("blanks at a password's end are left out"):
        password, right = password.rstrip(), right.rstrip()
    if talk.wrong("NUL ends a password"):
        password = password.partition(b"\0")[0]
    if talk.wrong("NUL ends a name"):
        name = name.partition(b"\0")[0]
    if talk.wrong("passwords may be longer"):
        password = password[: len(right)]
    if talk.wrong("the name does not matter"):
        name = talk.stub.user.encode()
    if name != talk.stub.user.encode() or password != right:
        talk.refuse_login(name == talk.stub.user.encode())
    else:
        talk.enter()


def _apop(talk: Talk, words: list[str]) -> None:
    text = talk.timestamp + talk.stub.password
    wanted = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    if words == [talk.stub.user, wanted] or talk.wrong("APOP takes any digest"):
        talk.enter()
    else:
        talk.refuse_login(words[0] == talk.stub.user)


def _auth(talk: Talk, words: list[str]) -> None:
    if not words:
        names = "PLAIN OTHER" if talk.wrong("AUTH alone lists others") else MECHANISMS
        talk.listing(names.split())
        return
    try:
        if Sasl(talk.stub, talk.wire).log_in(words):
            talk.enter()
        else:
            talk.refuse_login(True)
    except Refused as error:
        talk.err(str(error), "AUTH" if error.about_credentials else "")


def _stls(talk: Talk, _: list[str]) -> None:
    if talk.wire.in_tls and not talk.wrong("STLS in TLS"):
        talk.err("TLS is there")
        return
    talk.ok("begin")
    if not talk.wrong("STLS keeps the name"):
        talk.name = None
    if not talk.wire.in_tls:
        talk.wire.secure()


def _utf8(talk: Talk, _: list[str]) -> None:
    talk.utf8 = True
    talk.ok("UTF-8")


def _lang(talk: Talk, words: list[str]) -> None:
    if not words:
        talk.listing(
            [tag if talk.wrong("LANG lists bare tags") else f"{tag} {name}"
             for tag, name in LANGUAGES.items()]
        )  # fmt: skip
        return
    tag = "en" if words[0] == "*" and not talk.wrong("LANG * is unknown") else words[0].lower()
    if tag not in LANGUAGES and talk.wrong("LANG takes any language"):
        tag = "es"
    if tag not in LANGUAGES:
        talk.err("no such language")
        return
    talk.language = tag
    talk.ok("changed" if talk.wrong("LANG does not name the tag") else f"{tag} changed")


def _capa(talk: Talk, _: list[str]) -> None:
    lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"]
    lines += [f"SASL {MECHANISMS}", "UTF8 USER", "LANG", "IMPLEMENTATION stub"]
    if not (talk.drop and talk.wrong("USER is not announced after login")):
        lines.append("USER")
    if talk.wire.in_tls and talk.wrong("CAPA in TLS is short"):
        lines = ["USER"]
    in_tls = talk.wire.in_tls and not talk.wrong("STLS is announced in TLS")
    if not in_tls and not talk.drop:
        lines.append("STLS")
    if talk.drop and talk.wrong("no CAPA after login"):
        talk.err("unknown command")
        return
    changes = {
        "TOP is hidden": ("TOP", ""),
        "UTF8 is hidden": ("UTF8 USER", ""),
        "EXPIRE is wrong": ("EXPIRE NEVER", "EXPIRE soon"),
        "LOGIN-DELAY is not kept": ("EXPIRE NEVER", "EXPIRE NEVER|LOGIN-DELAY 1"),
        "LOGIN-DELAY is wrong": ("EXPIRE NEVER", "EXPIRE NEVER|LOGIN-DELAY 0 SOON"),
        "SASL is wrong": ("SASL PLAIN", "SASL PLAIN_OF-A-NAME-THAT-IS-LONG PLAIN"),
        "SASL lies": ("SASL PLAIN", "SASL PLAIN EXTERNAL"),
        "CAPA has two blanks": ("UIDL", "UIDL|X-ONE  TWO"),
        "CAPA names one twice": ("UIDL", "UIDL|UIDL"),
        "IMPLEMENTATION is many words": ("IMPLEMENTATION stub", "IMPLEMENTATION a b c"),
        "RESP-CODES are hidden": ("RESP-CODES", ""),
        "AUTH-RESP-CODE is hidden": ("AUTH-RESP-CODE", ""),
        "UTF8 has a parameter": ("UTF8 USER", "UTF8 NAMES"),
    }
    for fault, (old, new) in changes.items():
        if talk.wrong(fault):
            at = next(it for it, line in enumerate(lines) if line.startswith(old))
            lines[at : at + 1] = [it for it in lines[at].replace(old, new).split("|") if it]
    talk.listing(lines)


COMMANDS: dict[str, Callable[[Talk, list[str]], None]] = {
    "USER": _user,
    "PASS": _pass,
    "APOP": _apop,
    "AUTH": _auth,
    "STLS": _stls,
    "UTF8": _utf8,
    "LANG": _lang,
    "CAPA": _capa,
}
