"""Nothing personal reaches a log line, whoever logs it and however."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import AuthorityCode, mint_ticket_number
from gateway.telemetry.logs import configure_logs
from gateway.telemetry.redaction import MASK, VALUE_LENGTH_MAX, redact, sensitive_keys
from hotline.ticket.v1 import ticket_pb2

WORDS_OF_LOGS = {"event", "kind", "name", "state", "method", "code", "reason", "ticket", "unit"}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    configure_logs(stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def last(lines: io.StringIO) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lines.getvalue().splitlines()[-1])
    return found


def test_a_line_is_one_json_object_with_time_and_level(lines: io.StringIO) -> None:
    structlog.get_logger().info("transfer.accepted", epoch="0.1")
    found = last(lines)
    assert (found["event"], found["level"], found["epoch"]) == ("transfer.accepted", "info", "0.1")
    assert found["time"].endswith("Z")


def test_personal_and_content_fields_are_masked_by_their_data_class() -> None:
    assert {"phones", "certificate_number", "content", "address"} <= sensitive_keys()
    assert redact({"address": "x", "inner": {"phones": ["1"]}}) == {
        "address": MASK,
        "inner": {"phones": MASK},
    }


def test_ordinary_words_of_logs_are_no_sensitive_field() -> None:
    assert not WORDS_OF_LOGS & sensitive_keys()


def test_a_message_of_the_standard_is_named_and_never_shown() -> None:
    ticket = ticket_pb2.Ticket(content=ticket_pb2.TicketContent(title="噪音"))
    assert redact({"request": ticket}) == {"request": "[hotline.ticket.v1.Ticket]"}


def test_what_looks_like_a_phone_or_an_identity_is_masked_but_not_a_ticket_number() -> None:
    number = mint_ticket_number(AuthorityCode("130000"), date(2026, 3, 2), 13_900_000)
    found = redact({"a": "call 13900000000 now", "b": "11010119900307000X", "c": number})
    assert found == {"a": f"call {MASK} now", "b": MASK, "c": number}


def test_ids_of_requests_and_traces_stay_whole_whatever_digits_they_hold() -> None:
    trace = "481e9a124862ac13900000000c78bcee"
    assert redact({"trace": trace}) == {"trace": trace}
    identity = "110101199003070000"
    assert redact({"identity": identity}) == {"identity": MASK}


def fail() -> None:
    raise ValueError("secret words")


def test_a_traceback_shows_places_and_no_values(lines: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("rpc.failed")
    assert "secret words" not in lines.getvalue()
    assert last(lines)["exception"] == "ValueError"


def test_libraries_pass_the_same_redaction(lines: io.StringIO) -> None:
    try:
        fail()
    except ValueError:
        logging.getLogger("library").exception("phone %s", "13900000000")
    assert "secret words" not in lines.getvalue()
    assert "139" not in lines.getvalue()
    assert last(lines)["event"] == f"phone {MASK}"


def test_a_typed_error_is_logged_by_its_reason() -> None:
    error = FieldInvalid(field="x", got="what a caller sent", expected="y")
    assert redact({"error": error}) == {"error": "FieldInvalid FIELD_INVALID"}


ANYTHING = st.recursive(
    st.text() | st.integers() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANYTHING)
def test_everything_can_be_logged(value: Any) -> None:
    assert json.dumps(redact({"value": value}), ensure_ascii=False)


@given(st.text(min_size=VALUE_LENGTH_MAX))
def test_a_long_text_is_cut(value: str) -> None:
    assert len(str(redact({"value": value})["value"])) <= VALUE_LENGTH_MAX + 1
