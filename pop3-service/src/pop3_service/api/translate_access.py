"""Address rules, bans and suspensions to messages of the contract and back."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pop3_service.api.translate import timestamp
from pop3_service.domain.access import Ground
from pop3_service.domain.address_rules import AddressRule, Ban, Effect, Service, Suspension
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.subject import Subject
from pop3_service.domain.why import Explanation
from pop3_service.supervisor.defence.throttle import ThrottleState
from pop3mgmt.v1 import access_pb2

LONGEST_S = 100 * 365 * 86400
"""A ban of more than a hundred years is one for ever."""

_EFFECTS = {
    Effect.ALLOW: access_pb2.AddressRule.EFFECT_ALLOW,
    Effect.DENY: access_pb2.AddressRule.EFFECT_DENY,
}
_KINDS = {
    Service.POP3: access_pb2.ACCESS_KIND_POP3,
    Service.MANAGEMENT: access_pb2.ACCESS_KIND_MANAGEMENT,
    Service.BOTH: access_pb2.ACCESS_KIND_BOTH,
}


def rule_of(message: access_pb2.AddressRule) -> AddressRule:
    """Read a rule that is to be made.

    Raises:
        InvalidArgument: a part of it is none.
    """
    effects = {theirs: ours for ours, theirs in _EFFECTS.items()}
    kinds = {theirs: ours for ours, theirs in _KINDS.items()}
    kinds[access_pb2.ACCESS_KIND_UNSPECIFIED] = Service.BOTH
    effect, kind = effects.get(message.effect), kinds.get(message.kind)
    if effect is None or kind is None:
        raise InvalidArgument("a rule allows or denies, for POP3, management or both")
    subject = Subject.parse(message.subject) if message.subject else Subject()
    return AddressRule(0, effect, message.network, subject, kind, message.note)


def rule_message(rule: AddressRule) -> access_pb2.AddressRule:
    """Write a rule."""
    return access_pb2.AddressRule(
        id=rule.id,
        effect=_EFFECTS[rule.effect],
        network=rule.network,
        subject=str(rule.subject),
        kind=_KINDS[rule.service],
        note=rule.note,
        set_by=rule.set_by,
        set_time=_time(rule.set_time_s),
    )


def ban_message(ban: Ban) -> access_pb2.Ban:
    """Write a ban."""
    return access_pb2.Ban(
        network=ban.network,
        reason=ban.reason,
        end_time=None if ban.end_time_s is None else _time(ban.end_time_s),
        set_by=ban.set_by,
        set_time=_time(ban.set_time_s),
    )


def suspension_message(suspension: Suspension) -> access_pb2.Suspension:
    """Write a suspension."""
    return access_pb2.Suspension(
        account_name=suspension.account,
        reason=suspension.reason,
        end_time=None if suspension.end_time_s is None else _time(suspension.end_time_s),
        set_by=suspension.set_by,
        set_time=_time(suspension.set_time_s),
    )


def verdict_message(explanation: Explanation) -> access_pb2.Verdict:
    """Write what would happen to a login."""
    return access_pb2.Verdict(
        kind=_KINDS[explanation.visit.service],
        allowed=explanation.allowed,
        grounds=map(_ground, explanation.grounds),
        other_rules=map(rule_message, explanation.others),
    )


def delay_message(state: ThrottleState) -> access_pb2.LoginDelay:
    """Write what the throttle does to a login."""
    return access_pb2.LoginDelay(
        network=state.network,
        network_failure_count=state.network_failures,
        account_failure_count=state.account_failures,
        known_place=state.known_place,
        shared=state.shared,
        check_delay=_duration(state.check_delay_s),
        answer_delay=_duration(state.answer_delay_s),
    )


def seconds_of(duration: Duration) -> float:
    """Read how long something is to last.

    Raises:
        InvalidArgument: it is not positive, or endless.
    """
    seconds: float = duration.seconds + duration.nanos / 1e9
    if not 0 < seconds <= LONGEST_S:
        raise InvalidArgument("the duration is positive, and at most a hundred years")
    return seconds


def _ground(ground: Ground) -> access_pb2.Ground:
    match ground:
        case Ban():
            return access_pb2.Ground(ban=ban_message(ground))
        case Suspension():
            return access_pb2.Ground(suspension=suspension_message(ground))
        case AddressRule():
            return access_pb2.Ground(rule=rule_message(ground))


def _duration(seconds: float) -> Duration:
    made = Duration()
    made.FromMilliseconds(round(seconds * 1000))
    return made


def _time(seconds: float) -> Timestamp:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
