"""Which transform holds for whom."""

from __future__ import annotations

import pytest

from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import EVERYONE, Scope, Subject
from pop3_service.domain.transforms import (
    UNTOUCHED,
    Activation,
    ActiveTransforms,
    Choice,
    Mode,
    Transform,
    TransformCount,
    TransformTable,
    parse_transform_name,
    total,
)

OLD = Transform(1, "banner", 1, "cat", (("cat",),))
NEW = Transform(2, "banner", 2, "cat -A", (("cat", "-A"),))
NAMES = [f"user{number}" for number in range(2000)]


def active(*activations: Activation) -> ActiveTransforms:
    return ActiveTransforms(TransformTable(activations))


def test_nothing_is_active_at_first() -> None:
    nothing = ActiveTransforms()
    assert not nothing
    assert nothing.choose("ana", "user") == UNTOUCHED


def test_the_most_specific_subject_decides() -> None:
    table = active(
        Activation(1, EVERYONE, OLD),
        Activation(2, Subject(Scope.ROLE, "auditor"), NEW),
        Activation(3, Subject(Scope.ACCOUNT, "eva"), None),
    )
    assert table.choose("ana", "user") == Choice(1, OLD)
    assert table.choose("ana", "auditor") == Choice(2, NEW)
    assert table.choose("eva", "auditor") == Choice(3, None)
    assert table.choose("auditor", "user") == Choice(1, OLD)


def test_beside_a_shadow_mail_stays_what_it_was() -> None:
    assert active(Activation(1, EVERYONE, NEW, Mode.SHADOW)).choose("ana", "user") == Choice(
        1, None, NEW
    )
    assert active(Activation(1, EVERYONE, NEW, Mode.SHADOW, OLD)).choose("ana", "user") == Choice(
        1, OLD, NEW
    )


def test_a_canary_has_its_list_and_its_share() -> None:
    canary = Activation(7, EVERYONE, NEW, Mode.CANARY, OLD, accounts=("ana",), share=10)
    table = active(canary)
    chosen = {name for name in NAMES if table.choose(name, "user").transform is NEW}
    assert 150 <= len(chosen) <= 250
    assert chosen == {name for name in NAMES if table.choose(name, "user").transform is NEW}
    assert table.choose("ana", "user") == Choice(7, NEW)
    outside = next(name for name in NAMES if name not in chosen)
    assert table.choose(outside, "user") == Choice(0, OLD)  # it says nothing of the canary


def test_beside_what_had_nothing_before_it_a_less_specific_subject_decides() -> None:
    users = Subject(Scope.ROLE, "user")
    canary = Activation(2, users, NEW, Mode.CANARY, accounts=("ana",), inherits=True)
    everyone = Activation(1, EVERYONE, OLD)
    assert active(canary).choose("eva", "user") == UNTOUCHED
    assert active(canary, everyone).choose("eva", "user") == Choice(1, OLD)
    assert active(canary, everyone).choose("ana", "user") == Choice(2, NEW)
    shadow = Activation(3, Subject(Scope.ACCOUNT, "ana"), OLD, Mode.SHADOW, inherits=True)
    assert active(canary, everyone, shadow).choose("ana", "user") == Choice(3, NEW, OLD)
    assert active(shadow).choose("ana", "user") == Choice(3, None, OLD)


def test_another_canary_has_others() -> None:
    def share(id_: int) -> set[str]:
        canary = Activation(id_, EVERYONE, NEW, Mode.CANARY, share=10)
        return {name for name in NAMES if canary.includes(name)}

    assert share(1) != share(2)
    assert not Activation(1, EVERYONE, NEW, Mode.CANARY, accounts=("x",)).includes("ana")
    everybody = Activation(1, EVERYONE, NEW, Mode.CANARY, share=100)
    assert all(everybody.includes(name) for name in NAMES)


@pytest.mark.parametrize(
    ("runs", "failures", "limit", "passes"),
    [
        (2, 2, 5, False),
        (3, 3, 5, True),
        (60, 3, 5, False),
        (59, 3, 5, True),
        (1000, 0, 0, False),
        (1000, 3, 0, True),
        (3, 3, 100, False),
    ],
)
def test_a_canary_is_given_up_past_its_limit(
    runs: int, failures: int, limit: int, passes: bool
) -> None:
    assert TransformCount(1, runs, failures).passes(limit) is passes


def test_counts_add_up_and_keep_the_last_failure() -> None:
    counts = [
        TransformCount(1, 3, 1, 1, 0, 0.5, "status 1"),
        TransformCount(1, 2, 0, 0, 4, 0.25),
    ]
    assert total(counts, 1) == TransformCount(1, 5, 1, 1, 4, 0.75, "status 1")


@pytest.mark.parametrize("name", ["a", "strip-2", "a" * 32])
def test_a_name(name: str) -> None:
    assert parse_transform_name(name) == name


@pytest.mark.parametrize("name", ["", "A", "2a", "a b", "a" * 33, "á", "none", "a@1", "-a"])
def test_no_name(name: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_transform_name(name)


def test_a_version_says_which_it_is() -> None:
    assert str(NEW) == "banner@2"
    assert str(Transform(3, "", 4, "tr a b", (("tr", "a", "b"),))) == "tr a b"
