"""Preferences: what an account's owner chooses for it, where the service's settings leave room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.settings import LANGUAGE_TAGS, Settings

LONGEST_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Preferences:
    """An account's own choices; as they are made here, the settings count.

    ``language`` is that of POP3 replies after login, empty for the setting's. ``retention_days`` is
    the age at which the account's mail goes, 0 for none of its own. ``transform`` says whether
    RETR passes mail through the transform; off counts only where ``transform_optional`` is on.
    """

    language: str = ""
    retention_days: int = 0
    transform: bool = True

    def changed(self, values: Mapping[str, object], settings: Settings) -> Preferences:
        """Give these with some values replaced.

        Raises:
            InvalidArgument: an unknown name, a value out of range, or one that is not allowed.
        """
        for name, value in values.items():
            match name, value:
                case "language", str() if value in ("", *LANGUAGE_TAGS):
                    pass
                case "language", _:
                    raise InvalidArgument(f"the language is one of {', '.join(LANGUAGE_TAGS)}")
                case "retention_days", int() if 0 <= value <= LONGEST_DAYS:
                    pass
                case "retention_days", _:
                    raise InvalidArgument(f"retention is from 0 to {LONGEST_DAYS} days")
                case "transform", bool():
                    if not value and not settings.transform_optional:
                        raise InvalidArgument(
                            "the transform is not optional here: transform_optional is off"
                        )
                case _:
                    raise InvalidArgument(f"there is no preference {name!r}")
        return replace(self, **values)  # type: ignore[arg-type]

    def expire_days(self, setting: int) -> int:
        """Give the age at which mail goes, 0 for never: the shorter one of ``setting`` and own."""
        return min(filter(None, (self.retention_days, setting)), default=0)


NO_PREFERENCES = Preferences()
"""Those of an account whose owner has chosen nothing."""
