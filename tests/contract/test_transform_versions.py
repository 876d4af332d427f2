"""The catalogue of transforms over gRPC: what is kept, what is refused and in which words."""

from __future__ import annotations

import pytest

from contract.service import Service
from pop3mgmt.errors import ManagementError
from pop3mgmt.reasons import Reason
from pop3mgmt.v1 import transforms_pb2, transforms_pb2_grpc
from pop3mgmt.v1.audit_pb2 import AuditFilter
from pop3mgmt.v1.transforms_pb2 import ON_FAILURE_ORIGINAL, ON_FAILURE_REFUSE


async def refusal(service: Service, name: str, command_line: str) -> ManagementError:
    with pytest.raises(ManagementError) as refused:
        await service.admin.set_transform(name, command_line)
    return refused.value


async def test_each_setting_makes_the_next_version_and_the_former_ones_stay(
    service: Service,
) -> None:
    admin = service.admin
    first = await admin.set_transform("loud", "tr a b")
    second = await admin.set_transform("loud", " tr a c ", ON_FAILURE_ORIGINAL, "for phones")
    assert (first.version, first.on_failure, first.note) == (1, ON_FAILURE_REFUSE, "")
    assert (second.version, second.command_line) == (2, "tr a c")
    assert (second.on_failure, second.note) == (ON_FAILURE_ORIGINAL, "for phones")
    assert second.created_by == "default"
    assert second.create_time.ToSeconds() == int(service.clock.now().timestamp())
    assert await admin.list_transform_versions("loud") == [second, first]
    assert await admin.get_transform("loud") == second
    assert await admin.get_transform("loud", 1) == first
    assert [it.latest for it in await admin.list_transforms()] == [second]


async def test_what_says_the_same_as_the_latest_is_the_latest(service: Service) -> None:
    first = await service.admin.set_transform("loud", "tr a b")
    assert await service.admin.set_transform("loud", "tr a b") == first
    assert len(await service.admin.list_transform_versions("loud")) == 1


async def test_lists_come_in_pages(service: Service) -> None:
    for name in ("c", "a", "b"):
        await service.admin.set_transform(name, "cat")
    await service.admin.set_transform("b", "cat", note="again")
    stub = transforms_pb2_grpc.TransformsServiceStub(service.client.channel)
    metadata = (("authorization", f"Bearer {service.admin.token}"),)
    names: list[str] = []
    token = ""
    for _ in range(2):
        request = transforms_pb2.ListTransformsRequest(page_size=2, page_token=token)
        page = await stub.ListTransforms(request, metadata=metadata)
        assert page.total_count == 3
        names += [it.latest.name for it in page.transforms]
        token = page.next_page_token
    assert (names, token) == (["a", "b", "c"], "")
    of_b = transforms_pb2.ListTransformVersionsRequest(name="b", page_size=1)
    newest = await stub.ListTransformVersions(of_b, metadata=metadata)
    of_b.page_token = newest.next_page_token
    oldest = await stub.ListTransformVersions(of_b, metadata=metadata)
    assert [it.version for it in (*newest.transforms, *oldest.transforms)] == [2, 1]
    assert (newest.total_count, oldest.next_page_token) == (2, "")


async def test_what_is_active_is_told_and_cannot_be_deleted(service: Service) -> None:
    admin = service.admin
    for command_line in ("tr a b", "tr a c"):
        await admin.set_transform("loud", command_line)
    await service.transforms.activate("loud", "default", version=1)
    [told] = await admin.list_transforms()
    assert (told.latest.version, told.latest.is_active, list(told.active_versions)) == (
        2,
        False,
        [1],
    )
    assert [it.is_active for it in await admin.list_transform_versions("loud")] == [False, True]
    with pytest.raises(ManagementError, match="'loud' is active for everyone") as refused:
        await admin.delete_transform("loud")
    assert refused.value.reason is Reason.STILL_IN_USE


async def test_a_deleted_transform_is_gone_and_its_numbers_do_not_come_again(
    service: Service,
) -> None:
    admin = service.admin
    await admin.set_transform("loud", "tr a b")
    assert await admin.delete_transform("loud") == 1
    for call in (
        admin.get_transform("loud"),
        admin.list_transform_versions("loud"),
        admin.delete_transform("loud"),
    ):
        with pytest.raises(ManagementError, match="there is no transform 'loud'") as refused:
            await call
        assert refused.value.reason is Reason.NOT_FOUND
    assert (await admin.set_transform("loud", "tr a b")).version == 2


async def test_a_version_that_is_not_there_is_named(service: Service) -> None:
    await service.admin.set_transform("loud", "tr a b")
    with pytest.raises(ManagementError, match="there is no transform 'loud@7'") as refused:
        await service.admin.get_transform("loud", 7)
    assert refused.value.reason is Reason.NOT_FOUND
    with pytest.raises(ManagementError) as refused:
        await service.admin.get_transform("loud", -1)
    assert refused.value.reason is Reason.INVALID_ARGUMENT


async def test_without_a_name_are_those_of_command_lines(service: Service) -> None:
    assert await service.admin.list_transform_versions() == []
    await service.transforms.use_command_line("tr a b", "default")
    [found] = await service.admin.list_transform_versions()
    assert (found.name, found.version, found.is_active) == ("", 1, True)
    assert await service.admin.get_transform("", 1) == found
    assert await service.admin.list_transforms() == []


@pytest.mark.attack(44, "refused", "newline")
@pytest.mark.parametrize(
    ("command_line", "why"),
    [
        ("no-such-program", "there is no program 'no-such-program' here"),
        ("./tr a b", "'./tr' as a name or as a path from the root"),
        ("tr a b; id", "there is no shell here"),
        ("tr a $(id)", "there is no shell here"),
        ("tr a `id`", "there is no shell here"),
        ("tr a b > /tmp/x", "there is no shell here"),
        ("tr a b && id", "there is no shell here"),
        ("| tr a b", "a program is missing before or after |"),
        ("tr a b |", "a program is missing before or after |"),
        ("tr 'a b", "the command line is not complete: No closing quotation"),
        ("tr a\nb c", "cannot hold control characters"),
        ("", "there is no program"),
        (" ", "there is no program"),
        ("|".join(["cat"] * 9), "at most 8 programs"),
    ],
)
async def test_what_cannot_be_run_is_refused_in_words(
    service: Service, command_line: str, why: str
) -> None:
    error = await refusal(service, "odd", command_line)
    assert error.reason is Reason.TRANSFORM_INVALID
    assert why in error.text
    assert await service.admin.list_transforms() == []


@pytest.mark.parametrize("name", ["", "none", "Loud", "9a", "a b", "x" * 33, "a@1"])
async def test_a_name_is_a_plain_word(service: Service, name: str) -> None:
    assert (await refusal(service, name, "cat")).reason is Reason.INVALID_ARGUMENT


async def test_who_set_and_deleted_what_is_in_the_audit(service: Service) -> None:
    admin = service.admin
    await admin.set_transform("loud", "tr a b", note="first")
    await admin.set_transform("loud", "tr a c", ON_FAILURE_ORIGINAL)
    await refusal(service, "odd", "no-such-program")
    await admin.delete_transform("loud")
    about = AuditFilter(action="transforms.")
    entries = [it async for it in admin.list_audit_entries(about)]
    assert [(it.action, it.target, it.outcome) for it in reversed(entries)] == [
        ("transforms.set", "loud@1", "ok"),
        ("transforms.set", "loud@2", "ok"),
        ("transforms.set", "odd", "TRANSFORM_INVALID"),
        ("transforms.delete", "loud", "ok"),
    ]


@pytest.mark.parametrize(
    ("command_line", "why"),
    [
        ("false", "transform ended with status 1, when tried on a sample message (text)"),
        (
            "ls /no/such/file",
            "transform ended with status 2, when tried on a sample message (text): /usr/bin/ls:"
            " cannot access '/no/such/file': No such file or directory",
        ),
        (
            "cat | sh -c 'cat >&2; exit 3' | cat",
            "transform ended with status 3 (program 2, sh), when tried on a sample message (text):"
            " From: sample@example.org",
        ),
        ("sh -c 'kill -9 $$'", "transform was ended by signal 9, when tried"),
        ("grep -a attachment", "transform ended with status 1, when tried on a sample message"),
    ],
)
async def test_what_fails_on_a_sample_is_refused_with_the_sample_and_its_error(
    service: Service, command_line: str, why: str
) -> None:
    error = await refusal(service, "odd", command_line)
    assert error.reason is Reason.TRANSFORM_INVALID
    assert error.text.startswith(why)
    assert await service.admin.list_transforms() == []
