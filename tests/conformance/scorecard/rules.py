"""The table of rules: each is one small function, with its source, its level and a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conformance.scorecard.probe import Probe

    Check = Callable[[Probe], None]


class Level(StrEnum):
    """How much a rule binds."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    MAY = "MAY"
    HOSTILE = "hostile"


class Verdict(StrEnum):
    """What came out of a check."""

    PASS = "PASS"
    FAIL = "FAIL"
    NOT_OFFERED = "NOT OFFERED"
    UNSURE = "UNSURE"


class Broken(Exception):
    """The server broke the rule; the text says how."""


class NotOffered(Exception):
    """The rule is about something that the server does not offer; the text says what."""


class Unsure(Exception):
    """It cannot be told from here; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``source`` is an RFC with its section, or ``hostile`` for no RFC's rule."""

    name: str
    source: str
    level: Level
    sentence: str
    check: Check

    @property
    def group(self) -> str:
        """The RFC, without the section."""
        return " ".join(self.source.split()[:2])


RULES: dict[str, Rule] = {}


def rule(source: str, level: Level, sentence: str) -> Callable[[Check], Check]:
    """Put a check into the table. Its name is its function's, after the RFC's number."""

    def register(check: Check) -> Check:
        add(source, level, sentence, check, check.__name__)
        return check

    return register


def add(source: str, level: Level, sentence: str, check: Check, what: str) -> None:
    """The same for checks that are made, several out of one function."""
    words = source.split()
    room = words[1] if words[0] == "RFC" else words[0]
    name = f"{room}-{what.replace('_', '-')}"
    if name in RULES:
        raise ValueError(f"there are two rules {name}")
    RULES[name] = Rule(name, source, level, sentence, check)


def demand(fact: object, told: str) -> None:
    """Go on only if the fact holds.

    Raises:
        Broken: with what is told.
    """
    if not fact:
        raise Broken(told)
