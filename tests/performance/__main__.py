"""``make bench``: measure our service beside Dovecot, on this machine.

It never fails on time. It fails when a reply was wrong, and when nothing could be measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from performance import modes
from performance.bench import Bench
from performance.certificate import make_certificate
from performance.dovecot import POP3, PROGRAM
from performance.native import CannotBuild, Load, build
from performance.report import as_json, machine, table
from performance.sizes import FULL, SMOKE, Sizes

OUTPUT = Path("var/bench")


def main() -> int:
    """Measure, print the table, write the JSON; give the exit status."""
    options = _options()
    try:
        names = modes.chosen(options.bench, smoke=options.smoke)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    sizes = SMOKE if options.smoke else FULL
    sizes = replace(
        sizes,
        rounds=options.rounds or sizes.rounds,
        seconds=options.seconds_each or sizes.seconds,
    )
    OUTPUT.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=OUTPUT.absolute()))
    folder.chmod(0o755)  # Dovecot's processes of other users read in it
    try:
        bench = _bench(options, sizes, folder)
        begin = time.monotonic()
        for name in names:
            (modes.MODES | modes.BY_NAME)[name](bench)
        took_s = time.monotonic() - begin
    except CannotBuild as error:
        print(error, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    facts = _facts(options, bench.sizes)
    shown = _heading(facts) + "\n" + table(bench.cases)
    print(shown)
    stem = OUTPUT / time.strftime("%Y%m%d-%H%M%S")
    stem.with_suffix(".json").write_text(as_json(bench.cases, facts) + "\n")
    stem.with_suffix(".txt").write_text(shown + "\n")
    print(f"\n{took_s:.0f} s; all values: {stem}.json")
    return _status(bench)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--bench", default="", help="modes, by comma; all without it")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each comparison")
    parser.add_argument("--seconds-each", type=float, default=0, help="seconds of each run")
    parser.add_argument("--before", default="", help="another checkout of ours, with its .venv")
    parser.add_argument("--smoke", action="store_true", help="everything once, small and short")
    return parser.parse_args()


def _bench(options: argparse.Namespace, sizes: Sizes, folder: Path) -> Bench:
    """Put together what the modes work with, and say what is missing."""
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:4.0f} s  {text}", file=sys.stderr, flush=True)

    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or not shutil.which("taskset"):
        say("servers and load share one core here (one processor, or no taskset): ratios suffer")
        cores = cores[:1] * 2
    certificate = make_certificate(folder)
    if certificate is None:
        say("openssl is missing (apt install openssl): no figures in TLS")
    if not POP3.exists():
        say("Dovecot is missing (apt install dovecot-pop3d): no figures of it")
    return Bench(
        sizes=sizes,
        folder=folder,
        load=Load(build("load", folder), folder, [cores[1]]),
        ceiling_program=build("ceiling", folder),
        certificate=certificate,
        server_cores=[cores[0]],
        before_checkout=Path(options.before).absolute() if options.before else None,
        say=say,
    )


def _facts(options: argparse.Namespace, sizes: Sizes) -> dict[str, Any]:
    """What the figures were measured on, and how."""
    versions = {"commit": ["git", "describe", "--always", "--dirty"]}
    if POP3.exists():
        versions["dovecot"] = [PROGRAM, "--version"]
    if options.before:
        versions["before"] = ["git", "-C", options.before, "describe", "--always", "--dirty"]
    facts: dict[str, Any] = {"machine": machine(), "rounds": sizes.rounds, "seconds": sizes.seconds}
    for name, words in versions.items():
        said = subprocess.run(words, capture_output=True, text=True).stdout.strip()
        facts[name] = said or "unknown"
    return facts


def _heading(facts: dict[str, Any]) -> str:
    flat = {**facts["machine"], **{k: v for k, v in facts.items() if k != "machine"}}
    return ", ".join(f"{name} {value}" for name, value in flat.items())


def _status(bench: Bench) -> int:
    if any(case.errors for case in bench.cases):
        print("some replies were wrong: see INVALID above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
