"""All rules: importing a module of checks puts them into the table, in this order."""

# isort: off
from conformance.scorecard import rfc1939_states
from conformance.scorecard import rfc1939_messages
from conformance.scorecard import rfc1939_deleting
from conformance.scorecard import rfc1939_optional
from conformance.scorecard import hostile_lines
from conformance.scorecard import hostile_mail

# isort: on
from conformance.scorecard.rules import RULES

MODULES = (
    rfc1939_states,
    rfc1939_messages,
    rfc1939_deleting,
    rfc1939_optional,
    hostile_lines,
    hostile_mail,
)

__all__ = ["MODULES", "RULES"]
