"""I7: what can reach the hub is numbers and codes of a fixed form, by the schema itself."""

from __future__ import annotations

import re

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from buf.validate import validate_pb2
from gateway.hub.store import HubReportRow
from gateway.trust.roster import HUB_INBOX
from hotline.aggregate.v1alpha1 import aggregate_pb2
from hotline.type.v1 import data_class_pb2

CODES = {
    "province": "^[1-9][0-9]0000$",
    "matter": "^[0-9]{2}0000$",
}
DIGITS = re.compile(r"\^(\[[0-9]-[0-9]\](\{\d+\})?|0)+\$")


def fields_of(message: Descriptor) -> list[FieldDescriptor]:
    found = list(message.fields)
    return found + [
        inner for field in found if field.message_type for inner in fields_of(field.message_type)
    ]


def test_every_text_of_a_report_is_a_code_of_digits() -> None:
    texts = [
        field
        for field in fields_of(aggregate_pb2.Report.DESCRIPTOR)
        if field.type in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}
    ]
    assert {field.name for field in texts} == set(CODES)
    for field in texts:
        options = field.GetOptions()
        pattern = options.Extensions[validate_pb2.field].string.pattern
        assert pattern == CODES[field.name]
        assert DIGITS.fullmatch(pattern)
        assert options.Extensions[data_class_pb2.data_class] == data_class_pb2.DATA_CLASS_PUBLIC


def test_a_report_has_only_types_that_hold_no_text_beside_them() -> None:
    allowed = {
        FieldDescriptor.TYPE_STRING,  # codes, by the test above
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_ENUM,
        FieldDescriptor.TYPE_MESSAGE,
    }
    fields = fields_of(aggregate_pb2.Report.DESCRIPTOR)
    assert {field.type for field in fields} <= allowed
    assert {field.message_type.name for field in fields if field.message_type} == {"Cell"}


def test_every_number_of_a_report_is_bounded() -> None:
    """An unbounded integer would be a text of eight characters."""
    for field in fields_of(aggregate_pb2.Report.DESCRIPTOR):
        if field.type in {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64}:
            rules = field.GetOptions().Extensions[validate_pb2.field]
            rule = rules.int32 if rules.HasField("int32") else rules.int64
            assert rule.HasField("const") or (rule.HasField("gte") and rule.HasField("lte"))


def test_the_hub_takes_reports_alarms_and_progress_of_leads_only() -> None:
    assert {"Report", "Alarm", "LeadProgress"} == HUB_INBOX


def test_the_hub_stores_nothing_but_statements_and_their_places() -> None:
    assert set(HubReportRow.__dataclass_fields__) == {
        *("position", "txid", "province", "day", "sequence"),
        *("digest", "statement", "key_id", "signature", "received"),
    }
