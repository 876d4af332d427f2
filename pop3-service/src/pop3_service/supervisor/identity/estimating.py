"""Estimates how strong a password is, as a process of its own that ends when it has answered.

The estimator (zxcvbn-rs-py: zxcvbn in Rust) takes 10 MB, and lets no other thread of its process
run meanwhile. ``python -m pop3_service.supervisor.identity.estimating`` reads one question from its
standard input; nothing of it can be seen from outside.
"""

from __future__ import annotations

import json
import sys

from zxcvbn_rs_py import Warning as Hint
from zxcvbn_rs_py import zxcvbn

COMMON = (
    Hint.ThisIsATop10Password,
    Hint.ThisIsATop100Password,
    Hint.ThisIsACommonPassword,
)
STRONG = 3
"""No common password has this score; those that take long to estimate have it."""
MOST_GUESSES_LOG10 = 4.0
"""What is nearly a common password takes so many guesses; one with more around it takes more."""


def estimate(password: str, known: list[str]) -> dict[str, object]:
    """Give the score, and whether it is a common password; ``known`` is guessed early."""
    score = int(zxcvbn(password, known).score)
    return {"score": score, "is_common": score < STRONG and _is_common(password)}


def _is_common(password: str) -> bool:
    found = zxcvbn(password)  # what is known would hide that it is common too
    hint = found.feedback.warning if found.feedback else None
    return hint in COMMON or (
        hint == Hint.ThisIsSimilarToACommonlyUsedPassword
        and found.guesses_log10 <= MOST_GUESSES_LOG10
    )


def main() -> None:
    """Answer the question on standard input."""
    question = json.load(sys.stdin.buffer)
    sys.stdout.write(json.dumps(estimate(question["password"], question["known"])))


if __name__ == "__main__":
    main()
