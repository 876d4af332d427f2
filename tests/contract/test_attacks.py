"""Every attack has a test that names it."""

from attacks import ATTACKS, NUMBERS, missing, named, told


def test_every_attack_is_in_the_table() -> None:
    assert tuple(ATTACKS) == NUMBERS


def test_every_attack_and_each_of_its_parts_has_a_test_that_names_it() -> None:
    print(told())
    assert missing() == {}


def test_no_test_names_an_attack_or_a_part_that_is_not_in_the_table() -> None:
    for number, tests in named().items():
        for test in tests:
            assert number in ATTACKS, test
            assert set(test.parts) <= set(ATTACKS[number].parts), test
