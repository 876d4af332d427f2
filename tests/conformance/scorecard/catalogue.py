"""All rules: importing a module of checks puts them into the table, in this order."""

# isort: off
from conformance.scorecard import rfc1939_states
from conformance.scorecard import rfc1939_messages
from conformance.scorecard import rfc1939_deleting
from conformance.scorecard import rfc1939_optional
from conformance.scorecard import rfc2449
from conformance.scorecard import rfc2595
from conformance.scorecard import rfc3206
from conformance.scorecard import rfc5034
from conformance.scorecard import rfc6856
from conformance.scorecard import hostile_lines
from conformance.scorecard import hostile_mail

# isort: on
from conformance.scorecard.rules import RULES

MODULES = (
    rfc1939_states,
    rfc1939_messages,
    rfc1939_deleting,
    rfc1939_optional,
    rfc2449,
    rfc2595,
    rfc3206,
    rfc5034,
    rfc6856,
    hostile_lines,
    hostile_mail,
)

__all__ = ["MODULES", "RULES"]
