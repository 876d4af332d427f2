"""The contract keeps to its own rules: comments, names, presence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto

from pop3mgmt.v1 import accounts_pb2
from support.contract import MODULES

FILES: list[FileDescriptor] = [module.DESCRIPTOR for module in MODULES]
SOURCES = sorted(Path(accounts_pb2.__file__).parent.glob("*.proto"))
ELEMENT = re.compile(
    r"\s*(message|enum|service|rpc|repeated|optional|map|\w[\w.]* \w+ = \d+|[A-Z_0-9]+ = \d+)\b"
)
ORDER = ("List", "Get", "Create", "Update", "Delete")


def messages(at: FileDescriptor | Descriptor) -> list[Descriptor]:
    inner = at.message_types_by_name.values() if isinstance(at, FileDescriptor) else at.nested_types
    return [found for message in inner for found in (message, *messages(message))]


def enums(file: FileDescriptor) -> list[EnumDescriptor]:
    own = list(file.enum_types_by_name.values())
    return own + [enum for message in messages(file) for enum in message.enum_types]


METHODS = [
    method
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
]
MESSAGES = [message for file in FILES for message in messages(file)]


def test_every_proto_file_has_its_python() -> None:
    assert [path.stem for path in SOURCES] == sorted(
        file.name.rpartition("/")[2].removesuffix(".proto") for file in FILES
    )


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_element_has_a_comment(source: Path) -> None:
    lines = source.read_text().splitlines()
    assert lines[0].startswith("// ")
    elements = [at for at, line in enumerate(lines) if ELEMENT.match(line)]
    assert elements
    for at in elements:
        comment = lines[at - 1].strip()
        assert re.match(r"// \S", comment), f"{source.name}:{at + 1}: {lines[at]}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_package_and_folder_are_one(file: FileDescriptor) -> None:
    assert file.package == "pop3mgmt.v1"
    assert file.name.startswith("pop3mgmt/v1/")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_services_are_called_services(file: FileDescriptor) -> None:
    for name in file.services_by_name:
        assert name.endswith("Service")


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_each_method_has_a_request_and_a_response_of_its_own(method: MethodDescriptor) -> None:
    name = method.name
    assert re.fullmatch(r"([A-Z][a-z]+)+", name)
    assert method.input_type.name == f"{name}Request"
    assert method.output_type.name == f"{name}Response"


def test_standard_methods_stand_in_order() -> None:
    for method in METHODS:
        names = [other.name for other in method.containing_service.methods]
        kinds = [verb for name in names for verb in ORDER if name.startswith(verb)]
        assert kinds == sorted(kinds, key=ORDER.index), names


def test_every_request_and_response_belongs_to_a_method() -> None:
    named = {message.name for message in MESSAGES if message.name.endswith(("Request", "Response"))}
    used = {name for m in METHODS for name in (m.input_type.name, m.output_type.name)}
    assert named == used


def test_enum_values_carry_their_enums_name_and_the_first_says_nothing() -> None:
    found = [enum for file in FILES for enum in enums(file)]
    assert found
    for enum in found:
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
        assert enum.values_by_number[0].name == f"{prefix}_UNSPECIFIED"
        assert all(value.name.startswith(f"{prefix}_") for value in enum.values)


def test_fields_are_named_by_what_they_hold() -> None:
    for message in MESSAGES:
        for field in message.fields:
            assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", field.name)
            kind = field.message_type.full_name if field.message_type else ""
            if kind == "google.protobuf.Timestamp":
                assert field.name.endswith("_time")
            if field.name.endswith("_time"):
                assert kind == "google.protobuf.Timestamp"


def test_lists_come_in_pages() -> None:
    for method in METHODS:
        if method.name.startswith("List"):
            assert {"page_size", "page_token"} <= set(method.input_type.fields_by_name)
            assert {"next_page_token", "total_count"} <= set(method.output_type.fields_by_name)


def test_numbers_of_fields_have_no_gap_but_where_a_field_was() -> None:
    for message in MESSAGES:
        whole = DescriptorProto()
        message.CopyToProto(whole)
        gone = [number for it in whole.reserved_range for number in range(it.start, it.end)]
        numbers = sorted([*gone, *(field.number for field in message.fields)])
        assert numbers == list(range(1, len(numbers) + 1)), message.full_name


def test_no_response_carries_a_failure() -> None:
    for message in MESSAGES:
        assert not {"error", "success", "ok"} & set(message.fields_by_name)


def test_no_answer_carries_a_password_but_where_it_is_made() -> None:
    for method in METHODS:
        for field in method.output_type.fields:
            is_text = field.type == field.TYPE_STRING
            if is_text and "password" in field.name and field.name != "has_default_password":
                assert method.name in {"ResetPassword", "CreateAppPassword"}
    assert not [name for name in accounts_pb2.Account.DESCRIPTOR.fields_by_name if "hash" in name]
