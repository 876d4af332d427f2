"""OPTIONS.md has a row for every option, variable and setting, with its default, and no other."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import scmp_gateway.config as gateway
from pop3_service.config import GROUPS, OPTIONS, setting_options
from pop3_service.domain.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "OPTIONS.md").read_text(encoding="utf-8").splitlines()
ROWS = [line for line in PAGE if line.startswith("| `")]
SERVICE = {option.name: option for option in OPTIONS}
FROM_THE_ENVIRONMENT = re.compile(r"\$\{(\w+)[:}-]")


def row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def service_row(name: str) -> str:
    option = SERVICE[name]
    flags = f"`{option.flag}`" + (f", `{option.short}`" if option.short else "")
    return row(flags, f"`{option.variable}`", option.meaning)


def gateway_row(option: gateway.Option) -> str:
    flags = f"`--{option.name.replace('_', '-')}`"
    return row(
        ", ".join([flags, *(f"`{it}`" for it in option.short)]),
        f"`{option.variable}`",
        option.meaning,
    )


def setting_rows() -> list[str]:
    told = zip(fields(Settings), setting_options(), strict=True)
    return [row(f"`{it.name}`", values(item), it.help) for item, it in told]


def values(setting: Any) -> str:
    """Say what can be given for a setting."""
    if choices := setting.metadata.get("choices"):
        return ", ".join(f"`{choice}`" for choice in choices)
    if isinstance(setting.default, bool):
        return "`on`, `off`"
    if isinstance(setting.default, str):
        return "text"
    unit = " s" if setting.name.endswith("_s") else ""
    return f"{setting.metadata['low']:,} to {setting.metadata['high']:,}{unit}"


EXPECTED = [
    *(service_row(name) for names in GROUPS.values() for name in names),
    *setting_rows(),
    *(gateway_row(option) for option in gateway.OPTIONS),
]


@pytest.mark.parametrize("expected", EXPECTED)
def test_the_page_tells_every_option_as_the_code_has_it(expected: str) -> None:
    assert expected in ROWS


def test_the_page_has_the_subjects_that_help_has() -> None:
    for title in GROUPS:
        assert f"### {title[0].upper()}{title[1:]}" in PAGE


@pytest.mark.parametrize("file", ["docker-compose.yml", "docker-compose.production.yml"])
def test_the_page_tells_every_variable_of_compose(file: str) -> None:
    variables = set(FROM_THE_ENVIRONMENT.findall((ROOT / file).read_text(encoding="utf-8")))
    assert len(variables) > 5
    for variable in variables:
        assert any(f"`{variable}`" in line for line in ROWS), variable


def test_the_page_names_no_option_that_there_is_not() -> None:
    compose = [line for line in ROWS if line not in EXPECTED]
    files = "".join(
        (ROOT / name).read_text()
        for name in ("docker-compose.yml", "docker-compose.production.yml")
    )
    for line in compose:
        for name in re.findall(r"`(\w+)`", line.split("|")[1]):
            assert name in files, line
