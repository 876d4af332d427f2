"""Lines about the catalogue of transforms: what reaches the service, and what is told of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from pop3mgmt.calls.base import History
from pop3mgmt.client import Caller, ManagementClient
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import transforms_pb2 as pb2
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_ORIGINAL, ON_FAILURE_REFUSE, Transform
from scmp_gateway.acts import transform_tests, transforms
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
    """A caller that notes what it is asked for, and tells what a test has put there."""

    def __init__(self, client: ManagementClient) -> None:
        super().__init__(client, "token")
        self.asked: list[object] = []
        self.parts: list[pb2.TestTransformResponse] = []
        self.given = 0
        self.removed = 0

    async def list_transforms(self) -> list[pb2.TransformSummary]:
        return [
            pb2.TransformSummary(latest=version(3, created_by="ana"), active_versions=[1, 3]),
            pb2.TransformSummary(latest=version(1, name="plain")),
        ]

    async def list_transform_versions(self, name: str = "") -> History[Transform]:
        self.asked = [name]
        return History([version(2, is_active=True), version(1)], self.removed)

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

    async def test_transform(
        self, request: pb2.TestTransformRequest
    ) -> AsyncGenerator[pb2.TestTransformResponse, None]:
        for part in self.parts:
            self.given += 1
            yield part


@pytest.fixture
async def caller() -> AsyncIterator[Asked]:
    async with ManagementClient("127.0.0.1:1") as client:
        yield Asked(client)


def asked_by(text: str) -> pb2.TestTransformRequest:
    return transform_tests.request_of(parse(f"TRANSFORM_TEST {text}".encode()))


# --- the catalogue ---


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
    caller.removed = 7
    told = await transforms.history(caller, parse(b"TRANSFORM_HISTORY loud"))
    assert told.encode().startswith(b"+OK 2 versions, 7 older ones are not kept\r\n")
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
    assert asked_by(f"RUN {command}").command_line == command.strip(" ")
    assert asked_by(f"ON 1.M1 OF ana RUN {command}").command_line == command.strip(" ")


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


# --- tests ---


def test_a_test_is_of_a_version_or_of_a_command_line() -> None:
    assert asked_by("loud").transform == pb2.TransformVersion(name="loud")
    assert asked_by("loud@3").transform == pb2.TransformVersion(name="loud", version=3)
    assert asked_by("@3").transform == pb2.TransformVersion(version=3)
    assert asked_by("run wc").command_line == "wc"
    assert not asked_by("loud").HasField("stored_message")


def test_a_test_is_on_a_message_of_an_account() -> None:
    own = asked_by("ON 1.M1 loud")
    assert own.stored_message == pb2.StoredMessage(uidl="1.M1")
    assert own.transform.name == "loud"
    other = pb2.StoredMessage(uidl="1.M1", account_name="ana")
    assert asked_by("of ana on 1.M1 RUN wc").stored_message == other
    assert asked_by("ON 1.M1 OF ana loud@2").stored_message == other


@pytest.mark.parametrize("name", ["on", "of", "run"])
def test_a_transform_may_be_called_like_a_keyword(name: str) -> None:
    assert asked_by(name).transform.name == name
    assert asked_by(f"ON 1.M1 {name}@2").transform.name == name


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("tr a-z A-Z", "a-z has no place there; a command line comes behind RUN"),
        ("loud ON 1.M1", "ON has no place there; a command line comes behind RUN"),
        ("OF ana loud", "name the message as well"),
        ("ON 1 ON 2 loud", "ON is given twice"),
        ("ON 1.M1", "1.M1 has no place there; a command line comes behind RUN"),
        ("loud@x", "'loud@x' is not a transform"),
    ],
)
def test_what_cannot_be_understood_is_told(text: str, why: str) -> None:
    with pytest.raises(ManagementError) as refused:
        asked_by(text)
    assert refused.value.reason is Reason.INVALID_ARGUMENT
    assert refused.value.text.startswith(why)


def report(**values: object) -> pb2.TestTransformResponse:
    found = pb2.TransformTestReport(
        message_bytes=20,
        peak_memory_bytes=3 << 20,
        programs=[pb2.TransformProgramReport(program="tr", exit_status=0)],
    )
    found.run_duration.FromMilliseconds(12)
    found.cpu_duration.FromMilliseconds(8)
    found.MergeFrom(pb2.TransformTestReport(**values))  # type: ignore[arg-type]
    return pb2.TestTransformResponse(report=found)


def chunk(octets: bytes) -> pb2.TestTransformResponse:
    return pb2.TestTransformResponse(chunk=octets)


async def shown(caller: Asked) -> bytes:
    return (await transform_tests.test(caller, parse(b"TRANSFORM_TEST loud"))).encode()


@pytest.mark.attack(42, "terminator")
async def test_the_result_is_shown_stuffed_behind_its_cost(caller: Asked) -> None:
    caller.parts = [report(result_bytes=18), chunk(b"A: b\r\n\r\n."), chunk(b"\r\n+OK c\r\n")]
    assert await shown(caller) == (
        b"+OK it works\r\n"
        b"message octets=20 result=18 seconds=0.012 cpu-seconds=0.008 peak-memory=3145728\r\n"
        b"message/1 tr status=0\r\n"
        b"\r\n"
        b"A: b\r\n\r\n..\r\n+OK c\r\n"
        b".\r\n"
    )


async def test_each_sample_has_its_result(caller: Asked) -> None:
    caller.parts = [
        report(sample_name="plain", result_bytes=3), chunk(b"a\r\n"),
        report(sample_name="html", result_bytes=3), chunk(b"b\r\n"),
    ]  # fmt: skip
    lines = (await shown(caller)).decode().splitlines()
    assert lines[0] == "+OK it works on 2 samples"
    assert [it.split()[0] for it in lines[1:5]] == [
        *("sample:plain", "sample:plain/1", "sample:html", "sample:html/1")
    ]
    assert lines[5:] == ["--- sample:plain", "a", "--- sample:html", "b", "."]


async def test_a_failure_says_which_program_and_why(caller: Asked) -> None:
    failed = pb2.TransformProgramReport(program="sed", exit_status=1)
    killed = pb2.TransformProgramReport(program="cat", signal=9)
    caller.parts = [
        report(sample_name="plain", result_bytes=3), chunk(b"a\r\n"),
        report(
            sample_name="html", has_failed=True, failure_text="sed ended with status 1",
            programs=[failed, killed], error_text="sed: bad\n",
        ),
    ]  # fmt: skip
    lines = (await shown(caller)).decode().splitlines()
    assert lines[0] == "+OK it FAILED, sample:html: sed ended with status 1"
    assert " result=- " in lines[3]
    assert lines[3].endswith(' failed="sed ended with status 1" error="sed: bad\\n"')
    assert lines[5:] == [
        "sample:html/2 sed status=1",
        "sample:html/3 cat signal=9",
        "--- sample:plain",
        "a",
        ".",
    ]


async def test_a_large_result_is_not_fetched(caller: Asked) -> None:
    caller.parts = [report(result_bytes=1 << 21), *[chunk(b"x" * 65536)] * 32]
    lines = (await shown(caller)).decode().splitlines()
    assert lines[0] == "+OK it works"
    assert lines[-2:] == ["the result has more than 1 MiB; pop3ctl shows it", "."]
    assert caller.given == 2
