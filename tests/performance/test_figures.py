"""Ratios are of one round, a wrong reply takes a row out, and every goal is one of a mode."""

import pytest

from performance import modes
from performance.figures import P99, SESSIONS, Case
from performance.goals import GOALS, Goal, verdict
from performance.report import as_json, table
from performance.sizes import FULL


def _case() -> Case:
    case = Case("sessions", "of a test")
    for ours, theirs in ((100, 10), (100, 50), (900, 100)):
        case.add(SESSIONS, "valija", ours)
        case.add(SESSIONS, "dovecot", theirs)
    return case


def test_a_ratio_is_of_one_round() -> None:
    ratio = _case().times_better(SESSIONS, "dovecot")
    assert ratio is not None
    assert (ratio.median, ratio.least, ratio.largest) == (9, 2, 10)


def test_less_time_is_better() -> None:
    case = _case()
    case.add(P99, "valija", 5)
    case.add(P99, "dovecot", 50)
    ratio = case.times_better(P99, "dovecot")
    assert ratio is not None
    assert ratio.median == 10


def test_a_wrong_reply_leaves_no_figure() -> None:
    case = _case()
    case.wrong("dovecot", ["u00001: RETR 1 sent another content"])
    assert case.spread(SESSIONS, "dovecot") is None
    assert case.times_better(SESSIONS, "dovecot") is None
    shown = table([case])
    assert "INVALID: u00001: RETR 1 sent another content" in shown
    assert "reach" not in shown
    assert "another content" in as_json([case], {})


def test_the_table_shows_the_goal_beside_the_figure() -> None:
    assert "9x (2x-10x)" in table([_case()])
    assert "reach 15x, aim 25x: below" in table([_case()])


@pytest.mark.parametrize(("value", "said"), [(1, "below"), (4, "reached"), (7, "aim")])
def test_a_goal_has_two_steps(value: float, said: str) -> None:
    assert verdict(Goal(4, 6), value, "dovecot-tuned") == said


def test_every_goal_is_of_a_mode() -> None:
    crowds = {f"sessions-{clients}" for clients in FULL.crowds[1:]}
    assert {case for case, _, _ in GOALS} <= modes.MODES.keys() | crowds


def test_a_family_of_modes_has_one_name() -> None:
    assert modes.chosen("retr") == ["retr-5k", "retr-1m", "retr-50m", "retr-1m-tls", "retr-50m-tls"]
    assert modes.chosen("sessions,drain") == ["sessions", "drain"]
    assert modes.chosen("") == list(modes.MODES)
    with pytest.raises(ValueError, match="there is no mode 'x'"):
        modes.chosen("x")
