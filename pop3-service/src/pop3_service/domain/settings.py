"""Settings: what can be changed while the service runs. Each is declared once, here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from pop3_service.domain.errors import InvalidArgument

RFC_IDLE_S = 600.0
"""RFC 1939 section 3: an autologout timer has at least 10 minutes."""

DAY_S = 86_400

SWITCH = {"on": True, "yes": True, "true": True, "1": True}
SWITCH |= {"off": False, "no": False, "false": False, "0": False}
"""How a switch is written as a flag or variable."""


def _number(default: float, low: float, high: float, help_: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help_})


def _nothing_wrong(_: str) -> str:
    return ""


def _wrong_source(text: str) -> str:
    """Say what is wrong with a file's path or an https address, if anything is."""
    if not text or text.startswith("/"):
        return ""
    wrong = "is the whole path of a file, or an https address without a user"
    try:
        parts = urlsplit(text)
        fits = parts.scheme == "https" and parts.hostname and parts.username is None
        return "" if fits and parts.port != 0 else wrong
    except ValueError:
        return wrong


def _text(default: str, help_: str, check: Callable[[str], str] = _nothing_wrong) -> Any:
    """``check`` gives what is wrong with a text that was given, or nothing."""
    return field(default=default, metadata={"help": help_, "check": check})


def _switch(default: bool, help_: str) -> Any:
    return field(default=default, metadata={"help": help_})


def _count(default: int, low: int, high: int, help_: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "help": help_})


def _choice(choices: tuple[str, ...], help_: str) -> Any:
    """The first of the ``choices`` is the default."""
    wrong = f"is one of {', '.join(choices)}"

    def check(text: str) -> str:
        return "" if text in choices else wrong

    return field(default=choices[0], metadata={"help": help_, "check": check, "choices": choices})


LANGUAGE_TAGS = ("en", "es")
"""Languages that POP3 replies are there in (RFC 5646)."""
SEND = "send"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings; times are in seconds."""

    max_accounts: int = _count(10_000, 1, 10_000_000, "the largest number of accounts")
    max_connections: int = _count(10_000, 1, 1_000_000, "the largest number of connections")
    idle_timeout_s: float = _number(
        RFC_IDLE_S, 1, 86_400, "silence after which a connection closes"
    )
    login_idle_timeout_s: float = _number(
        60.0,
        1,
        86_400,
        "silence before login after which a connection closes, once more than 80 % of all are open",
    )
    min_login_delay_s: float = _number(
        2.0, 0, 60, "delay of the answer to a network's first wrong login"
    )
    max_login_delay_s: float = _number(15.0, 0, 60, "longest delay of the answer to a wrong login")
    known_place_days: int = _count(
        60, 0, 3650, "days for which an account is known where it logged in; 0 for never"
    )
    transform_timeout_s: float = _number(
        60.0, 0.1, 3600, "time for a transform, besides 1 s for each MiB"
    )
    remember_login_s: float = _number(
        600.0, 0, 3600, "for how long a right password is not hashed again; 0 for never"
    )
    plaintext_login: str = _choice(
        ("allow", "local", "never"),
        "who may send a password or token in clear text: allow (all), local (only from this"
        " host), never",
    )
    scram: bool = _switch(
        False,
        "offer SCRAM-SHA-256, and store what it needs of each password; cheaper to guess from than"
        " argon2id, if it is stolen",
    )
    oauth_jwks: str = _text(
        "",
        "keys that bearer tokens are checked with: a JWK set's file or https address",
        _wrong_source,
    )
    oauth_issuer: str = _text("", "the issuer of bearer tokens, as their iss claim says it")
    oauth_audience: str = _text("", "this service's name in the aud claim of bearer tokens")
    oauth_account_claim: str = _text(
        "email",
        "the claim that is the account's name",
        lambda text: "" if text else "cannot be empty",
    )
    oauth_scope: str = _text("", "scopes that a bearer token must have, parted by blanks")
    oauth_openid_configuration: str = _text(
        "", "where clients find out about the issuer, told to those whose token is refused"
    )
    language: str = _choice(
        LANGUAGE_TAGS, "language of POP3 replies until a client chooses one, for new connections"
    )
    unicode_headers: str = _choice(
        ("refuse", SEND),
        "what new connections get of mail with a header in UTF-8 unless they ask for UTF8",
    )

    apop: bool = _switch(
        False, "offer APOP to accounts that have a secret of their own for it; old, and MD5"
    )

    @property
    def takes_bearer_tokens(self) -> bool:
        """Whether all is set that checking a token needs (RFC 7628)."""
        return bool(self.oauth_jwks and self.oauth_issuer and self.oauth_audience)

    @property
    def token_key_source(self) -> str:
        """Where the keys of tokens are, while tokens are taken; else empty."""
        return self.oauth_jwks if self.takes_bearer_tokens else ""

    login_delay_s: float = _number(
        0.0, 0, 86_400, "least time between two logins to one account (LOGIN-DELAY); 0 for none"
    )
    expire_days: int = _count(
        0, 0, 36_500, "age in days at which mail is removed for good (EXPIRE); 0 for never"
    )
    transform_optional: bool = _switch(
        False, "let accounts choose that the transform does not apply to their mail"
    )
    transform_cpu_s: float = _number(
        60.0, 1, 3600, "processor time for a transform, besides 1 s for each MiB"
    )
    transform_memory_mib: int = _count(512, 16, 65_536, "MiB of memory for a transform")
    transform_processes: int = _count(
        32, 1, 1024, "processes and threads that a transform may have at one time"
    )
    transform_scratch_mib: int = _count(
        64, 1, 65_536, "MiB of files that a transform may have in its private folder"
    )
    transform_output_mib: int = _count(
        64, 1, 65_536, "MiB that a transform may write, besides 16 times the message"
    )
    transform_isolation: str = _choice(
        ("prefer", "require"),
        "isolation of transforms: prefer (what the kernel offers), require (no transform runs"
        " without all of it)",
    )
    transform_cache_mib: int = _count(
        1024, 0, 16_777_216, "MiB of transformed mail that are kept on the disk"
    )
    transform_size_wait_s: float = _number(
        20.0, 0, 600, "longest that STAT and LIST wait for sizes of transformed mail"
    )
    transform_ahead: bool = _switch(True, "transform mail as it arrives, before it is asked for")

    password_min_length: int = _count(1, 1, 128, "characters that a new password has at least")
    password_min_strength: int = _count(
        0, 0, 4, "how hard to guess a new password must be, by zxcvbn; 0 for no matter"
    )
    password_refuse_common: bool = _switch(
        False, "refuse new passwords that many people use, or nearly so"
    )
    password_refuse_name: bool = _switch(
        False, "refuse new passwords with the account's name in them, also backwards"
    )
    password_history: int = _count(
        0, 0, 24, "how many passwords back a new one must differ from; 0 for the present one alone"
    )
    password_expire_days: int = _count(
        0, 0, 3650, "age in days at which a password must be changed; 0 for never"
    )
    password_reset_must_change: bool = _switch(
        False, "a random password that an admin sets must be changed at its first use"
    )

    audit_retention_days: int = _count(
        365, 0, 36_500, "age in days at which entries of the audit are removed; 0 for never"
    )
    backups_kept: int = _count(
        30,
        0,
        10_000,
        "backups kept in DATA_DIR/backups, and as many days of which the last one is; 0 for all",
    )

    def has_expired(self, password_time_s: float, now_s: float) -> bool:
        """Whether a password set at that Unix time has expired; one of time 0 never does."""
        days = self.password_expire_days
        return bool(days and password_time_s) and password_time_s + days * DAY_S <= now_s

    def changed(self, values: Mapping[str, object]) -> Settings:
        """Give these settings with some values replaced; text is read as the field's type.

        Raises:
            InvalidArgument: an unknown name, a wrong type, or a value out of range.
        """
        known = {item.name: item for item in fields(self)}
        checked: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise InvalidArgument(f"there is no setting {name!r}; there are {', '.join(known)}")
            checked[name] = _checked(name, value, known[name].default, known[name].metadata)
        new = replace(self, **checked)
        if new.max_login_delay_s < new.min_login_delay_s:
            raise InvalidArgument("max_login_delay is below min_login_delay")
        return new

    def as_dict(self) -> dict[str, Any]:
        """Give all values by name."""
        return asdict(self)


def _checked(name: str, value: object, default: object, metadata: Mapping[str, Any]) -> object:
    """Read and check one value by the type of its default."""
    if isinstance(default, str):
        if not isinstance(value, str):
            raise InvalidArgument(f"{name} is text")
        text = value.strip()
        if wrong := metadata.get("check", _nothing_wrong)(text):
            raise InvalidArgument(f"{name} {wrong}")
        return text
    if isinstance(default, bool):
        return _as_switch(name, value)
    # Outside this process a time goes by its name alone, whatever its unit is there.
    shown = name.removesuffix("_s")
    unit = "" if shown == name else " seconds"
    number = _as_number(shown, value, whole=isinstance(default, int))
    low, high = metadata["low"], metadata["high"]
    if not low <= number <= high:
        raise InvalidArgument(f"{shown} must be from {low} to {high}{unit}")
    return number


def _as_switch(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in SWITCH:
        return SWITCH[value.lower()]
    raise InvalidArgument(f"{name} is on or off")


def _as_number(name: str, value: object, *, whole: bool) -> float:
    kind = "a whole number" if whole else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise InvalidArgument(f"{name} is {kind}")
    try:
        return int(value) if whole else float(value)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{name} is {kind}") from None
