"""The commands, a module each: its options, and what it changes in a message."""

from __future__ import annotations

import argparse
from typing import Protocol

from valija_transform.edits import Edits
from valija_transform.protection import Signed
from valija_transform.structure import Part


class Command(Protocol):
    """A command, made from its options; their mistakes are ``WrongUsage`` or ``NoInput``."""

    def edit(self, message: Part, edits: Edits, signed: Signed) -> None:
        """Change a message that is neither unclear nor sealed as a whole."""


class CommandModule(Protocol):
    """What a command's module has."""

    ABOUT: str

    @staticmethod
    def add_options(parser: argparse.ArgumentParser) -> None:
        """Declare the command's own options."""

    @staticmethod
    def make(options: argparse.Namespace) -> Command:
        """Make the command from them."""
