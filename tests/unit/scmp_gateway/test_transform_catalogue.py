"""Lines about the catalogue of transforms: what reaches the service, and what is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import transforms_pb2 as pb2
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_ORIGINAL, ON_FAILURE_REFUSE, Transform
from scmp_gateway.acts import transforms
from scmp_gateway.command import BadLine, parse

MADE = 1_767_225_600  # 2026-01-01T00:00:00Z


def version(number: int, **values: object) -> Transform:
    made = Transform(
        name="loud", version=number, command_line="tr a-z A-Z", on_failure=ON_FAILURE_REFUSE
    )
    made.MergeFrom(Transform(**values))  # type: ignore[arg-type]
    made.create_time.seconds = MADE
    return made


class Asked(Caller):
    """A caller that notes what it is asked for."""

    def __init__(self, client: ManagementClient) -> None:
        super().__init__(client, "token")
        self.asked: list[object] = []

    async def list_transforms(self) -> list[pb2.TransformSummary]:
        return [
            pb2.TransformSummary(latest=version(3, created_by="ana"), active_versions=[1, 3]),
            pb2.TransformSummary(latest=version(1, name="plain")),
        ]

    async def list_transform_versions(self, name: str = "") -> list[Transform]:
        self.asked = [name]
        return [version(2, is_active=True), version(1)]

    async def get_transform(self, name: str, version_: int = 0) -> Transform:
        self.asked = [name, version_]
        return version(2, note="for phones", created_by="ana", is_active=True)

    async def set_transform(
        self,
        name: str,
        command_line: str,
        on_failure: pb2.OnFailure.ValueType = pb2.ON_FAILURE_UNSPECIFIED,
        note: str = "",
    ) -> Transform:
        self.asked = [name, command_line, on_failure, note]
        return version(4, name=name)


@pytest.fixture
async def caller() -> AsyncIterator[Asked]:
    async with ManagementClient("127.0.0.1:1") as client:
        yield Asked(client)


async def test_a_list_tells_the_latest_version_and_which_are_active(caller: Asked) -> None:
    told = await transforms.transforms(caller, parse(b"TRANSFORMS"))
    assert told.encode().decode().splitlines() == [
        "+OK 2 transforms",
        "loud version=3 active=1,3 on-failure=refuse made=2026-01-01T00:00:00Z by=ana tr a-z A-Z",
        "plain version=1 active=- on-failure=refuse made=2026-01-01T00:00:00Z by=- tr a-z A-Z",
        ".",
    ]


async def test_one_version_is_shown_whole(caller: Asked) -> None:
    told = await transforms.show(caller, parse(b"TRANSFORM_SHOW loud@2"))
    assert caller.asked == ["loud", 2]
    assert told.encode().decode().splitlines() == [
        "+OK transform loud@2",
        "command-line: tr a-z A-Z",
        "on-failure: refuse",
        "active: yes",
        "made: 2026-01-01T00:00:00Z",
        "by: ana",
        "note: for phones",
        ".",
    ]


async def test_without_a_version_the_latest_is_meant(caller: Asked) -> None:
    await transforms.show(caller, parse(b"TRANSFORM_SHOW loud"))
    assert caller.asked == ["loud", 0]


@pytest.mark.parametrize("word", ["loud@", "loud@x", "loud@0", "loud@-1", "loud@2@3"])
async def test_a_version_is_a_number(caller: Asked, word: str) -> None:
    with pytest.raises(ManagementError) as refused:
        await transforms.show(caller, parse(f"TRANSFORM_SHOW {word}".encode()))
    assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_a_history_has_a_line_for_each_version(caller: Asked) -> None:
    told = await transforms.history(caller, parse(b"TRANSFORM_HISTORY loud"))
    lines = told.encode().decode().splitlines()
    assert caller.asked == ["loud"]
    assert lines[0] == "+OK 2 versions"
    assert lines[1].startswith("loud@2 active=yes ")
    assert lines[2].startswith("loud@1 active=no ")
    await transforms.history(caller, parse(b"TRANSFORM_HISTORY"))
    assert caller.asked == [""]


@pytest.mark.attack(44, "scmp")
@pytest.mark.parametrize(
    "command",
    [
        "strip-attachments | tr a-z A-Z",
        "sed 's/a  b/c   d/; s/|/!/' | grep -v \"$(id)\"",
        "sh -c 'id; $(id) | `id` && (id) > /tmp/x'",
        "awk '{print \"it'\\''s\"}'",
        "  tr   a\\ b  'é\t'".replace("\t", "ü"),
        "printf '%s\\n' a",
        "FOR x REFUSE original",
    ],
)
async def test_a_command_line_arrives_as_it_was_typed(caller: Asked, command: str) -> None:
    line = parse(f"TRANSFORM_SET  loud   original {command}".encode())
    told = await transforms.set_(caller, line)
    assert caller.asked == ["loud", command.strip(" "), ON_FAILURE_ORIGINAL, ""]
    assert told.encode() == b"+OK transform loud@4 is set, not active yet\r\n"


@pytest.mark.attack(44, "scmp", "newline")
@pytest.mark.parametrize("control", ["\r", "\x00", "\x0b", "\x85", "\u2028", "\x1b[2J"])
def test_a_command_line_with_controls_is_no_command(control: str) -> None:
    with pytest.raises(BadLine):
        parse(f"TRANSFORM_SET loud refuse tr a{control}QUIT b".encode())


async def test_what_becomes_of_a_failure_is_said_in_one_of_two_words(caller: Asked) -> None:
    await transforms.set_(caller, parse(b"TRANSFORM_SET loud Refuse wc"))
    assert caller.asked == ["loud", "wc", ON_FAILURE_REFUSE, ""]
    with pytest.raises(ManagementError, match="after the name comes REFUSE or ORIGINAL"):
        await transforms.set_(caller, parse(b"TRANSFORM_SET loud tr a-z A-Z"))
