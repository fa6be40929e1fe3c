"""What the simulated platforms wrote, as the standard's tickets: recorded, compared."""

import json

import pytest
from google.protobuf.json_format import MessageToDict

from adapters.file_drop.__main__ import coverage_lines
from adapters.file_drop.formats import Format, Row, parse, render
from adapters.file_drop.rows import assignment_row, ticket_of_row
from adapters.simulated.messages import SAMPLES, sample_messages
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.fixtures.golden import Golden
from tests.unit.adapters.builders import city_mapping

FOLDER = "tests/golden/adapters"
PLATFORMS = sorted(path.stem for path in SAMPLES.glob("*.jsonl"))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_samples_map_as_recorded(platform: str, golden: Golden) -> None:
    tickets = [
        ticket_of_row(city_mapping(), Row(number, row), name=platform)
        for number, row in enumerate(sample_messages(platform), start=1)
    ]
    rows = [MessageToDict(ticket, preserving_proto_field_name=True) for ticket in tickets]

    golden.check(f"{FOLDER}/{platform}.json", json.dumps(rows, ensure_ascii=False, indent=1) + "\n")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_samples_map_alike_when_written_as_csv_in_gb18030(platform: str) -> None:
    messages = sample_messages(platform)
    as_csv = render(messages, Format.CSV).decode("utf-8-sig").encode("gb18030")

    for number, row in enumerate(parse(as_csv, Format.CSV, name="f"), start=1):
        from_json = ticket_of_row(city_mapping(), Row(number, messages[number - 1]), name="f")
        assert ticket_of_row(city_mapping(), row, name="f") == from_json


def test_assignment_is_written_as_recorded(golden: Golden) -> None:
    ticket = ticket_of_row(city_mapping(), Row(1, sample_messages(PLATFORMS[0])[0]), name="f")
    ticket.name = "tickets/12000020261102000000001"
    ticket.origin = "120000"
    ticket.custody.custodian = "131000"
    ticket.platform_state = codes_pb2.PLATFORM_STATE_TO_SIGN
    ticket.due_time.FromJsonString("2026-11-13T09:30:00Z")
    assignment = ticket_pb2.Assignment(
        number=1,
        unit="units/131082-JT-1",
        unit_name="三河市交通运输局",
        role=codes_pb2.ASSIGNMENT_ROLE_LEAD,
    )
    row = assignment_row(city_mapping(), ticket, assignment)

    golden.check(f"{FOLDER}/assignment.jsonl", render([row], Format.JSONL).decode())


def test_coverage_of_the_simulated_mapping_is_as_recorded(golden: Golden) -> None:
    golden.check(f"{FOLDER}/coverage.txt", "\n".join(coverage_lines(city_mapping())) + "\n")
