import pytest

from adapters.kit.mapping import OUTWARD, TABLES, parse_mapping
from gateway.kernel.errors import FieldInvalid
from tests.unit.adapters.builders import city_mapping

LEAST = {
    "columns": {
        "type": "类型", "matter": "事项", "urgency": "紧急", "title": "标题",
        "content": "内容", "region": "区划",
    },
    "constants": {"channel": "PHONE"},
}  # fmt: skip


def test_simulated_platforms_mapping_reads_every_standard_code_it_may_meet() -> None:
    coverage = {item.table: item for item in city_mapping().coverage()}

    assert not [name for name, item in coverage.items() if item.unreadable]
    assert all(not coverage[name].unwritable for name in OUTWARD)


def test_local_code_reads_and_writes_both_ways() -> None:
    table = city_mapping().tables["type"]

    assert table.read("无效", location="x") == TABLES["type"]["OTHER"]
    assert table.write(TABLES["type"]["OTHER"]) == "其他"
    assert table.write(0) == ""


def test_unmapped_local_code_is_an_error_that_names_the_row() -> None:
    with pytest.raises(FieldInvalid) as caught:
        city_mapping().tables["type"].read("牢骚", location="a.csv:3.诉求类型")

    assert caught.value.metadata["field"] == "a.csv:3.诉求类型"
    assert caught.value.metadata["got"] == "牢骚"


def test_unmapped_standard_code_is_an_error_when_written() -> None:
    with pytest.raises(FieldInvalid):
        city_mapping().tables["state"].write(999)


def test_standard_codes_may_be_numbers_or_names() -> None:
    table = parse_mapping(LEAST, source="m").tables["type"]

    assert table.read("03", location="x") == table.read("COMPLAINT", location="x") == 3


def test_incomplete_outward_table_is_refused_with_every_missing_code_named() -> None:
    raw = LEAST | {"codes": {"urgency": {"inward": {"急": "URGENT"}}}}

    with pytest.raises(FieldInvalid) as caught:
        parse_mapping(raw, source="m")

    for name in ("EMERGENCY", "NORMAL", "DEFERRED"):
        assert name in caught.value.hint


def test_every_problem_of_a_mapping_is_named_at_once() -> None:
    raw = {
        "columns": {"typo": "x", "title": "同", "content": "同"},
        "codes": {"type": {"inward": {"投诉": "COMPLAIN"}}, "nothing": {}},
        "catalogues": {"unit": {}},
        "more": 1,
    }

    with pytest.raises(FieldInvalid) as caught:
        parse_mapping(raw, source="m")

    for part in ("typo", "同", "COMPLAIN", "codes.nothing", "catalogues.unit", "more", "region"):
        assert part in caught.value.hint


def test_own_catalogue_maps_both_ways_and_is_closed() -> None:
    raw = LEAST | {"catalogues": {"matter": {"驾校": "041200"}}}
    mapping = parse_mapping(raw, source="m")

    assert mapping.read_catalogue("matter", "驾校", location="x") == "041200"
    assert mapping.write_catalogue("matter", "041200") == "驾校"
    with pytest.raises(FieldInvalid):
        mapping.read_catalogue("matter", "041200", location="x")
    assert mapping.read_catalogue("region", "131000", location="x") == "131000"
