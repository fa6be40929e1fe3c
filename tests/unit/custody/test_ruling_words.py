"""The words of a ruling besides its target: what goes to the wire comes back, within its bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.custody import bodies, codec
from gateway.custody.model import RulingPart
from gateway.custody.ruling_codec import decode_ruling, encode_ruling
from gateway.kernel.codes import CaseRulingForm, RulingKind
from gateway.kernel.errors import StatementMalformed
from gateway.kernel.ids import AuthorityCode
from hotline.custody.v1 import custody_pb2
from tests.fixtures.nodes import NOW

RULING = bodies.Ruling(
    number=2,
    previous=b"p" * 32,
    target=AuthorityCode("130600"),
    kind=RulingKind.REASSIGN,
    offers_allowed=False,
    mandates=(),
    legal_basis="属地管理原则（测试）",
    effective=NOW,
    last_record=b"r" * 32,
    case="C-1",
    ticket_uid="018f0000-0000-7000-8000-000000000001",
)
EARLIER = "13010020260201000000070"


def sent(body: bodies.Ruling) -> bodies.Ruling:
    raw = encode_ruling(body).SerializeToString()
    return decode_ruling(custody_pb2.Ruling.FromString(raw))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "form": int(CaseRulingForm.SPLIT),
            "parts": (RulingPart("131000", "020401"), RulingPart("130100", "020402")),
        },
        {"form": int(CaseRulingForm.MERGE), "merge_into": EARLIER},
    ],
)
def test_form_parts_and_earlier_ticket_travel(changes: dict[str, Any]) -> None:
    body = replace(RULING, **changes)
    assert sent(body) == body


def test_a_ruling_of_an_earlier_version_has_no_form() -> None:
    message = encode_ruling(RULING)
    for name in ("form", "parts", "merge_into"):
        message.ClearField(name)
    body = decode_ruling(message)
    assert (body.form, body.parts, body.merge_into) == (0, (), "")


def test_a_form_of_a_later_version_is_read_as_it_is() -> None:
    assert sent(replace(RULING, form=42)).form == 42


@pytest.mark.parametrize(
    "changes",
    [
        {"parts": tuple(RulingPart(f"13{number:02}00") for number in range(1, 10))},
        {"parts": (RulingPart("units/130100-JT-1"),)},
        {"parts": (RulingPart("130600", "x"),)},
        {"merge_into": "1301002026020100000007"},
        {"form": 65},
        {"form": -1},
    ],
)
def test_words_beyond_their_bounds_fail_check_four(changes: dict[str, Any]) -> None:
    raw = codec.body_to_bytes(replace(RULING, **changes))
    with pytest.raises(StatementMalformed):
        codec.body_from_bytes("Ruling", raw)
