"""Passwords that must be changed before anything else."""

from __future__ import annotations

from contract.ability import Ability, Answers
from contract.world import ANA

MUST_CHANGE = Answers(
    lambda said: said.must_change_password,
    lambda reply: reply.line.endswith(" (to be changed before anything else)"),
    lambda record: record["must_change_password"],
)

ABILITIES = [
    Ability(
        "AccountsService/CreateAccount",
        lambda caller, _: caller.create_account("ben", "secret", must_change=True),
        "ADD_USER ben secret MUST_CHANGE",
        ("accounts", "add", "ben", "--must-change", "--password-stdin"),
        MUST_CHANGE,
        stdin="secret",
        what="whose password is to be changed",
    ),
    Ability(
        "AccountsService/ResetPassword",
        lambda caller, _: caller.set_random_password(ANA, must_change=True),
        f"RESET_USER_PASSWORD {ANA} MUST_CHANGE",
        ("accounts", "reset-password", ANA, "--must-change"),
        MUST_CHANGE,
        what="to be changed",
    ),
]
