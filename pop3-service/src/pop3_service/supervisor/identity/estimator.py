"""Asks ``supervisor.estimating`` how strong a password is; its process ends with the answer."""

from __future__ import annotations

import asyncio
import json
import sys

from pop3_service.domain.account import AccountName
from pop3_service.domain.errors import ServiceUnavailable
from pop3_service.domain.password_policy import Strength, as_text

LONGEST = 64
"""Characters that are looked at. What they are worth, the whole password is worth at least; and the
time grows with their number: crafted ones take 0.2 s at 64, 0.5 s at 100."""
LIMIT_S = 10.0
AT_ONCE = 2
PROGRAM = (sys.executable, "-m", "pop3_service.supervisor.identity.estimating")


class Estimator:
    """Estimates strengths, few at a time."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(AT_ONCE)

    async def strength(self, name: AccountName, password: bytes) -> Strength:
        """Estimate a password of an account, whose name its guesser knows.

        Raises:
            ServiceUnavailable: there is no answer, or it takes too long.
        """
        known = sorted({str(name)[:LONGEST], name.partition("@")[0][:LONGEST]})
        question = json.dumps({"password": as_text(password)[:LONGEST], "known": known})
        async with self._room:
            found = json.loads(await _ask(question.encode()))
        return Strength(found["score"], found["is_common"])


async def _ask(question: bytes) -> bytes:
    pipe = asyncio.subprocess.PIPE
    wrong = "the password's strength cannot be estimated"
    try:
        process = await asyncio.create_subprocess_exec(*PROGRAM, stdin=pipe, stdout=pipe)
    except OSError as error:
        raise ServiceUnavailable(f"{wrong}: {error.strerror}") from None
    try:
        async with asyncio.timeout(LIMIT_S):
            octets, _ = await process.communicate(question)
    except TimeoutError:
        raise ServiceUnavailable(f"{wrong}: it takes too long") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise ServiceUnavailable(f"{wrong}: status {process.returncode}")
    return octets
