import pytest

from pop3_service.api.translate_transforms import on_failure_of, transform_message
from pop3_service.domain.errors import InvalidArgument
from pop3_service.domain.transforms import OnFailure, Transform
from pop3mgmt.v1 import transforms_pb2


@pytest.mark.parametrize("on_failure", OnFailure)
def test_what_becomes_of_a_failure_comes_back_as_it_was(on_failure: OnFailure) -> None:
    transform = Transform(7, "loud", 2, "tr a b", (("tr", "a", "b"),), on_failure)
    assert on_failure_of(transform_message(transform).on_failure) is on_failure


def test_none_given_is_refuse_and_an_unknown_one_is_refused() -> None:
    assert on_failure_of(transforms_pb2.ON_FAILURE_UNSPECIFIED) is OnFailure.REFUSE
    unknown = transforms_pb2.Transform.FromString(b"\x20\x63").on_failure
    with pytest.raises(InvalidArgument):
        on_failure_of(unknown)


def test_a_version_is_written_whole() -> None:
    transform = Transform(
        7, "loud", 2, "tr a b", (("tr", "a", "b"),), OnFailure.ORIGINAL, "why", "ana", 1.5
    )
    message = transform_message(transform, is_active=True)
    assert (message.name, message.version, message.command_line) == ("loud", 2, "tr a b")
    assert (message.note, message.created_by, message.is_active) == ("why", "ana", True)
    assert message.create_time.ToMilliseconds() == 1500
