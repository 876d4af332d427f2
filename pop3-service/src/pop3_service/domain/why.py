"""What would happen to a login, and which ban, suspension or rule decides."""

from __future__ import annotations

from dataclasses import dataclass

from pop3_service.domain.access import Access, Ground, Visit, denies
from pop3_service.domain.address_rules import AddressRule

MOST = 100
"""Grounds and rules that are told of; more would help nobody."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether a visit is let in, and all that is in force for it; the first ground decides.

    ``others`` are rules that would decide if the account, or the address, were known.
    """

    visit: Visit
    allowed: bool
    grounds: tuple[Ground, ...]
    others: tuple[AddressRule, ...] = ()


def explain(access: Access, visit: Visit, now_s: float) -> Explanation:
    """Explain what ``access`` decides: these are the same grounds."""
    grounds = tuple(access.grounds(visit, now_s))
    others: list[AddressRule] = []
    if not visit.account:
        others = list(access.personal_rules(visit.service, visit.address))
    elif not visit.address:
        others = access.about(visit)
    allowed = not grounds or not denies(grounds[0])
    return Explanation(visit, allowed, grounds[:MOST], tuple(others[:MOST]))
