"""Every ability there is: one module a noun, each with its ``ABILITIES``."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from contract.ability import Ability


def every() -> list[Ability]:
    """Give the abilities of all nouns."""
    found: list[Ability] = []
    for module in pkgutil.iter_modules(__path__):
        found += import_module(f"{__name__}.{module.name}").ABILITIES
    return found
