"""Filters are conjunctions over indexed, non-personal fields; anything else says what is right."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import TicketState, Urgency
from gateway.kernel.errors import FilterInvalid, PageTokenInvalid
from gateway.tickets.filters import TicketFilter, parse_filter
from gateway.tickets.tokens import Tokens

TOKENS = Tokens(b"k" * 32)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", TicketFilter()),
        ('state = "RESOLVED"', TicketFilter(state=TicketState.RESOLVED)),
        (
            'state = STATE_CLOSED AND followed=false AND external_id = "a b=\\"c\\""',
            TicketFilter(state=TicketState.CLOSED, followed=False, external_id='a b="c"'),
        ),
        (
            "urgency = EMERGENCY AND unit = units/131082-JT-1 AND overdue = true AND in_case=true",
            TicketFilter(
                urgency=Urgency.EMERGENCY, unit="units/131082-JT-1", overdue=True, in_case=True
            ),
        ),
        ('matter = "041200"  ', TicketFilter(matter="041200")),
    ],
)
def test_conjunctions_parse(text: str, expected: TicketFilter) -> None:
    assert parse_filter(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "phone = 13800138000",
        "state",
        "state =",
        "state = NOWHERE",
        "followed = maybe",
        "state = CLOSED OR followed = true",
        "state = CLOSED AND",
        "state = CLOSED AND state = CLOSED",
        'external_id = "open',
        "= = =",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FilterInvalid):
        parse_filter(text)


@given(st.text(max_size=60))
def test_no_text_does_anything_but_parse_or_refuse(text: str) -> None:
    with contextlib.suppress(FilterInvalid):
        assert isinstance(parse_filter(text), TicketFilter)


def test_token_opens_for_its_request_only() -> None:
    token = TOKENS.issue(("list", "120000"), 7, "x")
    assert TOKENS.open(("list", "120000"), token, field="page_token") == (7, "x")
    for key, binding in ((b"k" * 32, ("list", "130000")), (b"j" * 32, ("list", "120000"))):
        with pytest.raises(PageTokenInvalid):
            Tokens(key).open(binding, token, field="page_token")


@given(st.text(max_size=80))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(PageTokenInvalid):
        TOKENS.open(("list",), text, field="page_token")
