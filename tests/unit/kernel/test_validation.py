"""A machine limit names every field that breaks it, and no value."""

from __future__ import annotations

import pytest

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.validation import (
    _NAMES_ALL,
    BYTES_EXPECTED,
    NUL_EXPECTED,
    _is_free,
    validate,
)
from hotline.aggregate.v1alpha1 import aggregate_pb2
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.ticket.v1 import ticket_service_pb2 as ticket_pb
from hotline.type.v1 import statement_pb2

REQUEST_ID = "0198c0de-0000-7000-8000-000000000001"
SECRET = "13900000000"


def a_request() -> ticket_pb.CreateTicketRequest:
    return ticket_pb.CreateTicketRequest(
        request_id=REQUEST_ID,
        ticket=ticket_pb2.Ticket(
            external_id="T-1",
            channel=codes_pb2.CHANNEL_PHONE,
            type=codes_pb2.TICKET_TYPE_COMPLAINT,
            matter="041200",
            urgency=codes_pb2.URGENCY_NORMAL,
            content=ticket_pb2.TicketContent(
                title="测试", content="测试", place=ticket_pb2.Place(region="131082")
            ),
        ),
    )


def violations(request: ticket_pb.CreateTicketRequest) -> dict[str, str]:
    with pytest.raises(FieldInvalid) as failure:
        validate(request)
    assert SECRET not in failure.value.text() + failure.value.chinese_text()
    return dict(failure.value.violations)


def test_a_good_request_passes() -> None:
    validate(a_request())


def test_every_field_is_named_and_no_value() -> None:
    request = a_request()
    request.request_id = SECRET
    request.ticket.matter = SECRET
    request.ticket.citizen.phones.extend([SECRET, SECRET * 9])

    assert violations(request) == {
        "request_id": "a valid UUID",
        "ticket.matter": "a match of `^[0-9]{6}$`",
        "ticket.citizen.phones[1]": "at most 30 characters",
    }


def test_the_nul_character_is_refused_in_every_text_at_any_depth() -> None:
    request = a_request()
    request.ticket.external_id = "T\0"
    request.ticket.content.place.address = "\0"
    request.ticket.citizen.phones.extend([SECRET, f"{SECRET}\0"])
    request.ticket.content.reported_parties.add(display_name="x")
    request.ticket.content.reported_parties.add(display_name="\0")

    assert violations(request) == dict.fromkeys(
        (
            "ticket.external_id",
            "ticket.content.place.address",
            "ticket.citizen.phones[1]",
            "ticket.content.reported_parties[1].display_name",
        ),
        NUL_EXPECTED,
    )


def test_zero_bytes_outside_of_texts_are_no_nul_character() -> None:
    request = a_request()
    request.ticket.received_time.seconds = 1 << 40  # its encoding holds no text, whatever its bytes

    validate(request)


def test_an_unknown_group_that_only_one_decoder_reads_is_refused() -> None:
    group_of_field_5, field_0, group_end = b"\x2b", b"\x01" + bytes(8), b"\x2c"
    report = aggregate_pb2.Report()
    report.ParseFromString(group_of_field_5 + field_0 + group_end)

    with pytest.raises(FieldInvalid) as failure:
        validate(report)
    assert failure.value.violations == (("message", BYTES_EXPECTED),)


@pytest.mark.parametrize(
    "pattern", ["", "a", "^a", "a$", "^.*$", "^a|b$", r"^\S$", "^[^a]$", r"^[\x00]$"]
)
def test_a_text_is_looked_at_unless_its_pattern_names_all_characters(pattern: str) -> None:
    assert not _NAMES_ALL.fullmatch(pattern)


def test_a_message_whose_texts_are_all_named_is_not_searched() -> None:
    assert not _is_free(statement_pb2.Statement.DESCRIPTOR)
    assert _is_free(custody_pb2.Offer.DESCRIPTOR)


@pytest.mark.parametrize("field", ["kind", "issuer", "ticket", "scope", "statement_id"])
def test_a_pattern_refuses_the_character_that_is_not_searched_for(field: str) -> None:
    statement = statement_pb2.Statement()
    setattr(statement, field, "\0")
    with pytest.raises(FieldInvalid) as caught:
        validate(statement)
    assert field in dict(caught.value.violations)
