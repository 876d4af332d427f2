"""Running the checks, and the card that comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from conformance.scorecard.probe import Probe, Target
from conformance.scorecard.rules import Broken, Level, NotOffered, Rule, Unsure, Verdict

BINDING = (Level.MUST, Level.SHOULD, Level.HOSTILE)
"""Levels that decide the exit status."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the card. ``evidence`` is what was sent and what came, where that matters."""

    name: str
    source: str
    level: Level
    sentence: str
    verdict: Verdict
    told: str = ""
    evidence: tuple[str, ...] = ()

    def line(self) -> str:
        """The line, and below it why the rule was not found kept."""
        text = (
            f"{self.verdict:<11} {self.level:<7} {self.source:<14} {self.name:<42} {self.sentence}"
        )
        if self.told:
            text += f"\n            {self.told}"
        return text + "".join(f"\n            {it}" for it in self.evidence)


def play(target: Target, rules: Iterable[Rule]) -> Iterator[Result]:
    """Try each rule on the target, one after the other."""
    for rule in rules:
        yield tried(target, rule)


def tried(target: Target, rule: Rule) -> Result:
    """Try one rule."""
    probe = Probe(target)
    verdict, told = Verdict.PASS, ""
    try:
        rule.check(probe)
    except Broken as error:
        verdict, told = Verdict.FAIL, str(error)
    except NotOffered as error:
        verdict, told = Verdict.NOT_OFFERED, str(error)
    except Unsure as error:
        verdict, told = Verdict.UNSURE, str(error)
    except (ValueError, LookupError) as error:
        verdict, told = Verdict.FAIL, f"what came cannot be read: {error}"
    except OSError as error:
        verdict, told = Verdict.UNSURE, f"the check could not be made: {error}"
    shown = tuple(probe.evidence.shown()) if verdict is Verdict.FAIL else ()
    probe.close()
    return Result(rule.name, rule.source, rule.level, rule.sentence, verdict, told, shown)


def summary(results: list[Result]) -> Iterator[str]:
    """Counts by RFC, and in all."""
    groups = dict.fromkeys(" ".join(it.source.split()[:2]) for it in results)
    rows = [(name, [it for it in results if it.source.startswith(name)]) for name in groups]
    yield f"{'':<12}" + "".join(f"{verdict:>13}" for verdict in Verdict)
    for name, those in [*rows, ("all", results)]:
        counts = Counter(it.verdict for it in those)
        yield f"{name:<12}" + "".join(f"{counts[verdict]:>13}" for verdict in Verdict)


def exit_status(results: Iterable[Result]) -> int:
    """0: every binding rule was kept or is not offered; 1: one was broken; 3: one is unsure."""
    verdicts = {it.verdict for it in results if it.level in BINDING}
    if Verdict.FAIL in verdicts:
        return 1
    return 3 if Verdict.UNSURE in verdicts else 0


def as_json(result: Result) -> dict[str, object]:
    """The line for programs."""
    return asdict(result)
