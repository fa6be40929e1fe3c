"""Units, desks and the generated demonstration units."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.kernel.errors import FieldInvalid, ResourceNotFound
from gateway.reference.__main__ import main
from gateway.reference.data import ReferenceData, demo_unit_files
from gateway.reference.generation import (
    AUTHORITY_COLUMNS,
    KIND_COLUMNS,
    generate_units,
    parse_declaration,
    render_units,
)
from gateway.reference.regions import Level
from gateway.reference.tables import Findings, read_table
from gateway.reference.units import UNIT_COLUMNS, UnitRef, parse_unit_ref, parse_units


@pytest.mark.parametrize(
    ("unit_id", "name", "authority", "level"),
    [
        ("131082-JT-1", "三河市交通运输局", "131000", Level.COUNTY),
        ("131000-JT-1", "廊坊市交通运输局", "131000", Level.CITY),
        ("131002-JT-1", "廊坊市安次区交通运输局", "131000", Level.COUNTY),
        ("130000-JT-1", "河北省交通运输厅", "130000", Level.PROVINCE),
        ("120000-JT-1", "天津市交通运输委员会", "120000", Level.PROVINCE),
        ("120116-GA-1", "天津市滨海新区公安分局", "120000", Level.COUNTY),
        ("131000-desk", "廊坊市12345研判席", "131000", Level.CITY),
    ],
)
def test_a_unit_belongs_to_the_nearest_authority_and_its_platform(
    data: ReferenceData, unit_id: str, name: str, authority: str, level: Level
) -> None:
    unit = data.units.get(unit_id)
    assert (unit.name, unit.authority, unit.level) == (name, authority, level)
    assert unit.platform == f"{authority}-p1"


def test_every_authority_has_one_desk_which_is_no_unit_of_a_kind(data: ReferenceData) -> None:
    provinces = {"120000", "130000", "310000", "320000"}
    assert data.units.authorities() > {*provinces, "130100", "130600", "131000", "320500"}
    for authority in data.units.authorities():
        desk = data.units.desk_of(authority)
        assert desk.is_desk
        assert desk.number == 0
        assert desk not in data.units.of_kind(region=authority, kind="RX")
    assert sum(unit.is_desk for unit in data.units) == len(data.units.authorities())


def test_units_are_found_by_place_kind_and_platform(data: ReferenceData) -> None:
    utilities = data.units.of_kind(region="131000", kind="GY")
    assert [unit.number for unit in utilities] == [1, 2, 3, 4, 5, 6, 7]
    assert data.units.of_kind(region="131082", kind="TY") == ()
    on_platform = data.units.on_platform("131000-p1")
    assert {unit.authority for unit in on_platform} == {"131000"}
    assert len(data.units) > len(on_platform) > 300
    assert data.units.find("131082-TY-1") is None
    with pytest.raises(ResourceNotFound):
        data.units.desk_of("330000")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("JT", UnitRef(kind="JT")),
        ("YJ_YAO", UnitRef(kind="YJ_YAO")),
        ("GY-2", UnitRef(kind="GY", number=2)),
        ("131000-desk", UnitRef(unit_id="131000-desk")),  # type: ignore[arg-type] # plain text
        ("131000-JT-1", UnitRef(unit_id="131000-JT-1")),  # type: ignore[arg-type] # plain text
    ],
)
def test_a_reference_is_a_unit_a_kind_or_one_of_a_kind(text: str, expected: UnitRef) -> None:
    assert parse_unit_ref(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", "jt", "JT-0", "13100-JT-1", "131000-JT", "units/131000-JT-1"])
def test_anything_else_is_no_reference(text: str) -> None:
    assert parse_unit_ref(text) is None


@pytest.mark.parametrize(
    "line",
    [
        "131000-JT-1,名不符区,130000,JT,130000,p",
        "131000-JT-1,名不符类,131000,GA,131000,p",
        "130000-JT-1,重复,130000,JT,130000,p",
        "139999-JT-1,无此区,139999,JT,130000,p",
        "131000-QQ-1,无此类,131000,QQ,131000,p",
        "131000-JT-1,别省机构,131000,JT,120000,p",
        "131000-desk,研判席类别不符,131000,JT,131000,p",
    ],
)
def test_an_unusable_unit_is_named_and_the_rest_is_read(data: ReferenceData, line: str) -> None:
    findings = Findings()
    text = ",".join(UNIT_COLUMNS) + f"\n130000-JT-1,厅,130000,JT,130000,\n{line}\n"
    rows = read_table(text, file="units/x.csv", columns=UNIT_COLUMNS, findings=findings)
    units = parse_units(rows, regions=data.regions, kinds=data.kinds, findings=findings)
    assert [finding.location for finding in findings.items] == ["units/x.csv:3"]
    assert [unit.platform for unit in units] == [None]


def test_the_committed_units_are_what_the_generator_makes(directory: Path) -> None:
    fresh = demo_unit_files(directory)
    assert set(fresh) == {file.name for file in (directory / "units").iterdir()}
    for file, text in fresh.items():
        committed = (directory / "units" / file).read_text(encoding="utf-8")
        assert committed == text, f"run `python -m gateway.reference` and commit units/{file}"


def test_the_command_writes_stale_files_and_checks_without_writing(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("areacodes.csv", "demo_authorities.csv", "demo_kinds.csv"):
        (tmp_path / file).write_bytes((directory / file).read_bytes())
    assert main([str(tmp_path), "--check"]) == 1
    assert not (tmp_path / "units").exists()
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = [f"units/{province}.csv" for province in ("120000", "130000", "310000", "320000")]
    assert lines == [f"{word}: {file}" for word in ("stale", "written") for file in files]


def test_another_province_needs_only_a_line(data: ReferenceData, directory: Path) -> None:
    findings = Findings()
    authorities = "authority,platform\n310000,310000-p1\n320000,320000-p1\n320500,320500-p1\n"
    kinds = (directory / "demo_kinds.csv").read_text(encoding="utf-8")
    declaration = parse_declaration(
        read_table(authorities, file="a", columns=AUTHORITY_COLUMNS, findings=findings),
        read_table(kinds, file="k", columns=KIND_COLUMNS, findings=findings),
        regions=data.regions,
        findings=findings,
    )
    units = {unit.unit_id: unit for unit in generate_units(declaration, data.regions)}
    assert not findings.items
    assert units["310106-JT-1"].name == "上海市静安区交通运输局"  # type: ignore[index] # text id
    assert units["320581-WL-1"].authority == "320500"  # type: ignore[index] # text id
    assert units["320000-JT-1"].name == "江苏省交通运输厅"  # type: ignore[index] # text id
    assert not any(unit.region.startswith("3204") for unit in units.values())
    assert set(render_units(units.values(), data.regions)) == {"310000.csv", "320000.csv"}


def test_broken_demo_tables_are_refused_with_every_problem(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "areacodes.csv").write_bytes((directory / "areacodes.csv").read_bytes())
    (tmp_path / "demo_authorities.csv").write_text("authority,platform\n131082,p\n120107,p\n")
    (tmp_path / "demo_kinds.csv").write_text(f"{','.join(KIND_COLUMNS)}\njt,1,a,b,c,d,e\n")
    with pytest.raises(FieldInvalid) as caught:
        demo_unit_files(tmp_path)
    assert all(name in caught.value.hint for name in ("131082", "120107", "'jt'"))
