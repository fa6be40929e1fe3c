from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.file_drop.formats import Format, Row, parse, render
from adapters.file_drop.rows import answer_of_row, assignment_row, state_row, ticket_of_row
from gateway.kernel.errors import FieldInvalid
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from tests.unit.adapters.builders import a_row, city_mapping, lines

CELL = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=20
).filter(lambda text: text.strip() == text)


@given(st.lists(st.fixed_dictionaries({"甲": CELL, "b,c": CELL}), min_size=1, max_size=5))
@pytest.mark.parametrize("kind", list(Format))
def test_rows_survive_writing_and_reading(kind: Format, rows: list[dict[str, str]]) -> None:
    assert [dict(row.values) for row in parse(render(rows, kind), kind, name="f")] == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_csv_is_read_in_the_encodings_that_platforms_write(encoding: str) -> None:
    data = '诉求标题,诉求内容\r\n路灯,"不亮,\n三天"\r\n'.encode(encoding)

    rows = parse(data, Format.CSV, name="f.csv")

    assert dict(rows[0].values) == {"诉求标题": "路灯", "诉求内容": "不亮,\n三天"}


def test_utf_16_is_refused_as_a_whole() -> None:
    with pytest.raises(FieldInvalid):
        parse("诉求标题\n路灯\n".encode("utf-16"), Format.CSV, name="f.csv")


def test_row_with_too_few_cells_is_bad_alone() -> None:
    rows = parse(b"a,b\n1,2\n3\n4,5\n", Format.CSV, name="f.csv")

    assert [row.error is None for row in rows] == [True, False, True]
    assert rows[1].error is not None
    assert "f.csv:2" in rows[1].error.text()


def test_line_that_is_no_object_is_bad_alone() -> None:
    rows = parse(b'{"a": 1}\n[1]\nnonsense\n{"a": [1, true, null]}\n', Format.JSONL, name="f")

    assert [row.error is None for row in rows] == [True, False, False, True]
    assert rows[3].values["a"] == "1;true;"


def test_row_becomes_the_ticket_it_says() -> None:
    row = Row(1, a_row(被反映承办单位="130000-GA-1", 要求保密="是", 受理时间="2026-11-02 09:00:00"))

    ticket = ticket_of_row(city_mapping(), row, name="f")

    assert ticket.type == codes_pb2.TICKET_TYPE_COMPLAINT
    assert ticket.content.place.region == "131082"
    assert ticket.content.reported_parties[0].unit == "units/130000-GA-1"
    assert list(ticket.citizen.phones) == ["13800138000", "13800138001"]
    assert ticket.secrecy_required
    assert ticket.received_time.ToDatetime(UTC) == datetime(2026, 11, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("紧急程度", "马上"),
        ("受理时间", "昨天"),
        ("要求保密", "也许"),
        ("区划年份", "09"),
        ("诉求标题", ""),
    ],
)
def test_cell_that_does_not_read_is_named_with_row_and_column(column: str, value: str) -> None:
    with pytest.raises(FieldInvalid) as caught:
        ticket_of_row(city_mapping(), Row(7, a_row(**{column: value})), name="f.csv")

    assert caught.value.metadata["field"] == f"f.csv:7.{column}"


def test_errors_never_quote_the_citizen() -> None:
    with pytest.raises(FieldInvalid) as caught:
        ticket_of_row(city_mapping(), Row(1, a_row(诉求类型="?")), name="f")

    assert "测试人员" not in caught.value.text()
    assert "13800138000" not in caught.value.text()


def test_answer_with_a_bad_number_is_refused() -> None:
    row = parse(lines({"全国工单编号": "12", "操作": "签收"}), Format.JSONL, name="f")[0]

    with pytest.raises(FieldInvalid):
        answer_of_row(city_mapping(), row, name="f")


def test_state_row_names_the_lead_and_not_who_assists() -> None:
    ticket = ticket_pb2.Ticket(
        name="tickets/12000020261121000010008",
        platform_state=codes_pb2.PLATFORM_STATE_TO_SIGN,
        channel=codes_pb2.CHANNEL_PHONE,
        type=codes_pb2.TICKET_TYPE_COMPLAINT,
        urgency=codes_pb2.URGENCY_NORMAL,
        assignments=[
            ticket_pb2.Assignment(unit="units/lead", role=codes_pb2.ASSIGNMENT_ROLE_LEAD),
            ticket_pb2.Assignment(unit="units/other", role=codes_pb2.ASSIGNMENT_ROLE_ASSIST),
        ],
    )
    row = state_row(city_mapping(), ticket, ticket_pb2.TicketEvent(kind="assignment.assigned"))
    assert row["承办单位编号"] == "lead"


def test_assignment_row_speaks_the_platforms_language() -> None:
    ticket = ticket_of_row(city_mapping(), Row(1, a_row()), name="f")
    ticket.name = "tickets/13100020261102000000001"
    ticket.platform_state = codes_pb2.PLATFORM_STATE_TO_SIGN
    assignment = ticket_pb2.Assignment(
        number=1, unit="units/131082-JT-1", role=codes_pb2.ASSIGNMENT_ROLE_LEAD
    )

    row = assignment_row(city_mapping(), ticket, assignment)

    assert row["工单状态"] == "已派遣"
    assert row["承办角色"] == "主办"
    assert row["承办单位编号"] == "131082-JT-1"
    assert row["诉求类型"] == "投诉"
