"""The report: a table for people, and all values as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from performance.figures import OURS, Case, Metric, Spread
from performance.goals import goal_of, verdict

CEILING = "ceiling"


def table(cases: Sequence[Case]) -> str:
    """The table for people."""
    return "\n".join(line for case in cases for line in _lines_of(case))


def as_json(cases: Sequence[Case], facts: Mapping[str, Any]) -> str:
    """All values, with what they were measured on."""
    return json.dumps({**facts, "cases": [case.as_dict() for case in cases]}, indent=1)


def machine() -> dict[str, Any]:
    """What a figure depends on."""
    return {
        "processors": os.cpu_count(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _lines_of(case: Case) -> Iterator[str]:
    yield ""
    yield f"{case.name}: {case.about}"
    for metric, by_server in case.values.items():
        head = f"  {metric.name}, {metric.unit}"
        yield f"{head:40}{'median (min-max)':22}ours is better by, round by round"
        for server in by_server:
            yield _line(case, metric, server)
        if not metric.less and (noise := case.spread(metric, CEILING)):
            share = (noise.largest - noise.least) / noise.median if noise.median else 0.0
            yield f"    the machine's noise, by the ceiling: {share:.0%} from least to most"
    for server, why in case.missing.items():
        yield f"    {server:16}not there: {why.splitlines()[0]}"
    for server, errors in case.errors.items():
        yield f"    {server:16}INVALID: {'; '.join(errors[:4])}"
    for note in case.notes:
        yield f"    {note}"


def _line(case: Case, metric: Metric, server: str) -> str:
    found = case.spread(metric, server)
    if found is None:
        return f"    {server:16}no valid figure"
    value = f"{_number(found.median):>10} ({_number(found.least)}-{_number(found.largest)})"
    line = f"    {server:24}{value:34}"
    compared = server != OURS and not (metric.less and server == CEILING)
    ratio = case.times_better(metric, server) if compared else None
    judged = found if server == OURS else ratio
    if ratio:
        line += f"{_ratio(ratio, server):28}"
    if (goal := goal_of(case.name, metric, server)) and judged:
        reach, aim = (_goal(number, server) for number in (goal.reach, goal.aim))
        line += f"reach {reach}, aim {aim}: {verdict(goal, judged.median, server)}"
    return line.rstrip()


def _ratio(ratio: Spread, server: str) -> str:
    median, least, largest = (
        _goal(number, server) for number in (ratio.median, ratio.least, ratio.largest)
    )
    return f"{median} ({least}-{largest})"


def _goal(number: float, server: str) -> str:
    if server == OURS:
        return f"{number:g}"
    if server == CEILING:
        return f"{number * 100:.0f}%"
    return f"{number:.3g}x" if number < 10 else f"{number:.0f}x"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
