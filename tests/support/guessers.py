"""Guesses at passwords from very many networks, as a process of its own; prints a tally as JSON.

Each address is one of loopback in a /24 of its own. It guesses one after the other, each on a new
connection, and waits for the answer: one in two at the victim, the others at names of nobody.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter

from support.crowd import all_descriptors

ANSWER_S = 600


def address(number: int) -> str:
    """The address of a guesser; no two are in one /24, and none is in that of 127.0.0.1."""
    return f"127.{1 + number // 250}.{number % 250}.1"


async def guess(port: int, source: str, name: str, password: str) -> str:
    """Try once; give how the answer begins."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        await asyncio.wait_for(reader.readline(), ANSWER_S)
        writer.write(f"USER {name}\r\nPASS {password}\r\n".encode())
        await asyncio.wait_for(reader.readline(), ANSWER_S)
        answer = await asyncio.wait_for(reader.readline(), ANSWER_S)
        return " ".join(answer.decode().split()[:2])
    finally:
        writer.close()


async def guess_on(port: int, victim: str, number: int, tries: int, told: Counter[str]) -> None:
    """Guess so many times from one address."""
    for attempt in range(tries):
        name = victim if attempt % 2 else f"nobody{number}x{attempt}"
        told[await guess(port, address(number), name, f"guess{number}x{attempt}")] += 1


async def flood(port: int, victim: str, addresses: int, tries: int) -> Counter[str]:
    """Guess from all addresses at once; give how the answers begin."""
    told: Counter[str] = Counter()
    await asyncio.gather(
        *(guess_on(port, victim, number, tries, told) for number in range(addresses))
    )
    return told


def main() -> None:
    """Read the arguments, guess, print."""
    parser = argparse.ArgumentParser()
    for name in ("port", "addresses", "tries"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--victim", required=True)
    given = parser.parse_args()
    began_s = time.monotonic()
    with all_descriptors():
        told = asyncio.run(flood(given.port, given.victim, given.addresses, given.tries))
    print(json.dumps({"told": told, "seconds": time.monotonic() - began_s}))


if __name__ == "__main__":
    main()
