"""Variables of the environment that a program does not know: most likely misspelt."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def unknown_variables(
    environment: Mapping[str, str], prefix: str, known: Collection[str]
) -> dict[str, str | None]:
    """Give those that begin so and are not known, each with the one that it looks like, if any."""
    unknown = sorted(it for it in environment if it.startswith(prefix) and it not in known)
    if not unknown:
        return {}
    from difflib import get_close_matches  # most starts need none of it

    return {name: next(iter(get_close_matches(name, known, 1)), None) for name in unknown}
