"""The program: options, the card on standard output, an exit status."""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance.scorecard.card import Result, as_json, exit_status, play, summary
from conformance.scorecard.catalogue import RULES
from conformance.scorecard.mail import Maildir
from conformance.scorecard.probe import Probe, Target
from conformance.scorecard.rules import Broken, Rule

CANNOT = 2


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m conformance.scorecard",
        description="Checks a POP3 server rule by rule and prints a scorecard.",
        epilog="Exit status: 0 every MUST, SHOULD and hostile rule is kept or not offered; 1 one is"
        " broken; 2 the checks could not run; 3 none is broken, but some could not be told.",
    )
    made.add_argument("host")
    made.add_argument("port", type=int)
    made.add_argument("--user", required=True, help="an account for the checks alone")
    secret = made.add_mutually_exclusive_group(required=True)
    secret.add_argument("--password")
    secret.add_argument("--password-file", type=Path, help="a file whose first line it is")
    made.add_argument("--tls-port", type=int, help="a port that is TLS from the first octet")
    made.add_argument("--starttls", action="store_true", help="log in only after STLS")
    made.add_argument("--maildir", type=Path, help="the account's Maildir, to be filled with mail")
    made.add_argument("--maildir-owner", type=_owner, metavar="UID:GID", help="whose mail it is")
    made.add_argument(
        "--delete", action="store_true", help="mail that was there before may be deleted"
    )
    made.add_argument("--only", action="append", metavar="PATTERN", help="rules of such names")
    made.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for an answer, a late one to a wrong login too (default 30)",
    )
    made.add_argument("--json", action="store_true", help="one JSON object a line instead")
    made.add_argument("--list", action="store_true", help="print the rules and try none")
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Run it; give the exit status."""
    given = parser().parse_args(words)
    rules = chosen(given.only)
    if given.list:
        for rule in rules:
            print(f"{rule.level:<7} {rule.source:<14} {rule.name:<42} {rule.sentence}")
        return 0
    try:
        target = target_of(given)
        ready(target)
    except (Broken, OSError) as error:
        print(f"scorecard: {error}", file=sys.stderr)
        return CANNOT
    results: list[Result] = []
    for result in play(target, rules):
        results.append(result)
        print(json.dumps(as_json(result)) if given.json else result.line(), flush=True)
    if target.maildir is not None:
        target.maildir.empty()
    if not given.json:
        print("\n".join(["", *summary(results)]))
    return exit_status(results)


def chosen(patterns: Sequence[str] | None) -> list[Rule]:
    """The rules whose names match one of the patterns, or all."""
    wanted = patterns or ["*"]
    return [it for it in RULES.values() if any(fnmatch.fnmatch(it.name, one) for one in wanted)]


def target_of(given: argparse.Namespace) -> Target:
    """Put the target together.

    Raises:
        Broken: the Maildir holds mail that must not be deleted.
    """
    password = given.password
    if password is None:
        password = given.password_file.read_text().split("\n")[0]
    maildir = Maildir(given.maildir, given.maildir_owner) if given.maildir else None
    if maildir is not None:
        maildir.make()
        if maildir.strangers() and not given.delete:
            raise Broken(f"{maildir.path} holds mail; it may be deleted only with --delete")
    return Target(
        given.host,
        given.port,
        given.user,
        password,
        given.tls_port,
        given.starttls,
        maildir,
        given.delete,
        given.timeout,
    )


def ready(target: Target) -> None:
    """Log in once, so that a wrong address or password is not told rule by rule.

    Raises:
        Broken: that is not possible.
    """
    probe = Probe(target)
    try:
        probe.session()
    finally:
        probe.close()


def _owner(text: str) -> tuple[int, int]:
    user, _, group = text.partition(":")
    return int(user), int(group)


if __name__ == "__main__":
    sys.exit(main())
