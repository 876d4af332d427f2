"""Which transform is active for whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from lineproto.reply import Listing, Ok, Reply
from pop3mgmt.client import Caller
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.transform_words import parse_canary, parse_percent, parse_version, show_version
from pop3mgmt.v1.transform_activations_pb2 import (
    TRANSFORM_MODE_CANARY,
    TRANSFORM_MODE_ON,
    TRANSFORM_MODE_SHADOW,
    ActivateTransformRequest,
    TransformActivation,
    TransformEndReason,
    TransformMode,
)
from pop3mgmt.v1.transforms_pb2 import Transform
from scmp_gateway.acts.transforms import count_of
from scmp_gateway.command import Line
from scmp_gateway.times import show_time

EVERYONE = "everyone"
NONE = "none"
T = TypeVar("T")


async def transform(caller: Caller, line: Line) -> Reply:
    """Tell what is active for everyone, make a command line that, or end it."""
    command = line.rest.strip(" ")
    if not command:
        found = await caller.list_transform_activations(EVERYONE)
        return Ok(f"transform is {active_words(found[0]) if found else 'off'}")
    command = "" if command.upper() == "OFF" else command
    made = await caller.use_command_line(command)
    return Ok(f"transform is {active_words(made) if made else 'off'}")


async def activate(caller: Caller, line: Line) -> Reply:
    """Make a version active for a subject."""
    given = _options(line)
    name, version = _parsed(parse_version, line.words[0])
    request = ActivateTransformRequest(
        name=name,
        version=version,
        subject=given.get("FOR", ""),
        mode=_mode(given),
    )
    if "CANARY" in given:
        accounts, request.share_percent = _parsed(parse_canary, given["CANARY"])
        request.account_names.extend(accounts)
    if "LIMIT" in given:
        request.failure_limit_percent = _parsed(parse_percent, given["LIMIT"])
    made = await caller.activate_transform(request)
    return Ok(f"transform of {made.subject} is {active_words(made)}")


async def roll_back(caller: Caller, line: Line) -> Reply:
    """Bring back what was active for a subject before."""
    was, now = await caller.roll_back_transform("".join(line.words))
    return Ok(f"transform of {was.subject} is {active_words(now) if now else _without(was)}")


async def off(caller: Caller, line: Line) -> Reply:
    """End what is active for a subject."""
    was = await caller.deactivate_transform("".join(line.words))
    return Ok(f"transform of {was.subject} is {_without(was)}")


async def active(caller: Caller, line: Line) -> Reply:
    """All that is active."""
    found = await caller.list_transform_activations()
    return Listing(f"{len(found)} active", [activation_line(it) for it in found])


async def activations(caller: Caller, line: Line) -> Reply:
    """All that is and was active, for a subject if one is named."""
    found = await caller.list_transform_activations("".join(line.words), include_past=True)
    return Listing(count_of(found, "activations"), [activation_line(it) for it in found])


def active_words(activation: TransformActivation) -> str:
    """Say in a few words what mail of a subject goes through."""
    wanted = _told(activation.transform) if activation.HasField("transform") else "off"
    if activation.mode == TRANSFORM_MODE_ON:
        return wanted
    return f"{_before(activation)}, {mode_name(activation.mode)} {wanted}"


def activation_line(activation: TransformActivation) -> str:
    """Tell of an activation in one line."""
    found = activation.transform
    wanted = show_version(found.name, found.version) if activation.HasField("transform") else NONE
    words = [activation.subject, wanted, mode_name(activation.mode)]
    if activation.mode != TRANSFORM_MODE_ON:
        words.append(f"former={_former(activation)}")
    if activation.mode == TRANSFORM_MODE_CANARY:
        words += [
            f"accounts={','.join(activation.account_names) or '-'}",
            f"share={activation.share_percent}%",
            f"limit={activation.failure_limit_percent}%",
        ]
    counts = activation.counts
    words += [f"runs={counts.run_count}", f"failures={counts.failure_count}"]
    if activation.mode == TRANSFORM_MODE_SHADOW:
        words += [f"differences={counts.difference_count}", f"skipped={counts.skipped_count}"]
    words += [f"by={activation.set_by or '-'}", f"since={show_time(activation.set_time)}"]
    if activation.HasField("end_time"):
        words += [
            f"ended={show_time(activation.end_time)}",
            f"because={end_name(activation.end_reason)}",
            f"ended-by={activation.ended_by or '-'}",
        ]
    texts = {"command": activation.transform.command_line, "failure": counts.last_failure}
    words += [
        f"{key}={json.dumps(text, ensure_ascii=False)}" for key, text in texts.items() if text
    ]
    return " ".join(words)


def mode_name(mode: TransformMode.ValueType) -> str:
    """Give the word for a mode."""
    return TransformMode.Name(mode).removeprefix("TRANSFORM_MODE_").lower()


def end_name(reason: TransformEndReason.ValueType) -> str:
    """Give the word for why an activation ended."""
    name = TransformEndReason.Name(reason).removeprefix("TRANSFORM_END_REASON_")
    return name.lower().replace("_", "-")


def _told(transform: Transform) -> str:
    """Name a transform as a person made it: by its name, or its command line."""
    name = transform.name
    return show_version(name, transform.version) if name else transform.command_line


def _before(activation: TransformActivation) -> str:
    """Say what was there before, and is for those whom the activation is not for."""
    if activation.HasField("former"):
        return _told(activation.former)
    return _without(activation) if activation.inherits else "off"


def _without(activation: TransformActivation) -> str:
    """Say what mail of a subject goes through without anything active for the subject itself."""
    return "off" if activation.subject == EVERYONE else "inherited"


def _former(activation: TransformActivation) -> str:
    """Say the same without a blank."""
    if activation.HasField("former"):
        return show_version(activation.former.name, activation.former.version)
    return NONE if _before(activation) == "off" else "inherited"


def _mode(given: dict[str, str]) -> TransformMode.ValueType:
    if "SHADOW" in given and "CANARY" in given:
        raise ManagementError(Reason.INVALID_ARGUMENT, "it is SHADOW or CANARY, not both")
    if "CANARY" in given:
        return TRANSFORM_MODE_CANARY
    return TRANSFORM_MODE_SHADOW if "SHADOW" in given else TRANSFORM_MODE_ON


def _options(line: Line) -> dict[str, str]:
    """Read what follows the transform: SHADOW alone, FOR, CANARY and LIMIT with a word each.

    Raises:
        ManagementError: it is something else, or says a thing twice.
    """
    given: dict[str, str] = {}
    words = list(line.words[1:])
    while words:
        key = words.pop(0).upper()
        if key in given:
            raise ManagementError(Reason.INVALID_ARGUMENT, f"{key} is given twice")
        if key not in ("FOR", "SHADOW", "CANARY", "LIMIT"):
            raise ManagementError(Reason.INVALID_ARGUMENT, f"{key} has no place there")
        if key != "SHADOW" and not words:
            raise ManagementError(Reason.INVALID_ARGUMENT, f"{key} needs a value behind it")
        given[key] = "" if key == "SHADOW" else words.pop(0)
    return given


def _parsed(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise ManagementError(Reason.INVALID_ARGUMENT, str(error)) from None
