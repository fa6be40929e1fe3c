"""The JSON Schema for editors says what the parser says, and its file is the one that is made."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import (
    Draft202012Validator,
    FormatChecker,
)

from gateway.routing import words
from gateway.routing.document import Document, load_document, write_document
from gateway.routing.grammar import (
    PACK,
    Day,
    Filled,
    Listing,
    Number,
    Record,
    Shape,
    Table,
    Template,
    Text,
    Word,
)
from gateway.routing.schema import pack_schema, schema_text
from tests.fixtures.golden import Golden
from tests.unit.routing.builders import RULES

VALIDATOR = Draft202012Validator(pack_schema(), format_checker=FormatChecker())
PACKS = sorted((RULES / "packs").glob("*.yaml"))
TEXTS = (
    "131082",
    "041200",
    "JT",
    "YJ_YAO",
    "GY-2",
    "131000-JT-1",
    "noise.night",
    "a-b.c",
    "22:00-06:00",
    "08:30-24:00",
    "131000.langfang",
)
BAD: tuple[Any, ...] = ("", " ", "nonsense", 0, 1.5, -1, None, True, [], {}, ["x", "x"], {"x": 1})


def as_yaml(value: Any) -> bytes:
    """JSON is YAML; one value a line, so that no line is too long."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def twin(text: str, table: Mapping[str, str], *, is_chinese: bool) -> str:
    return table[text] if is_chinese else text


def values(shape: Shape, draw: st.DrawFn, *, chinese: bool) -> Any:
    """Draw a value that fits a shape, keys and words in one language."""
    match shape:
        case Record():
            return record(shape, draw, chinese=chinese)
        case Template(inner):
            return record(inner, draw, chinese=chinese)
        case Listing(item=item, length_max=most, length_min=least, is_set=is_set):
            count = draw(st.integers(least, min(most, 2)))
            drawn = [values(item, draw, chinese=chinese) for _ in range(count)]
            return list(dict.fromkeys(drawn)) if is_set else drawn
        case Table(item=item):
            return {"matters": values(item, draw, chinese=chinese)}
        case Word(table) | Text(words=table) if table:
            return twin(draw(st.sampled_from(sorted(table))), table, is_chinese=chinese)
        case _:
            return draw(st.sampled_from(single(shape)))


def single(shape: Shape) -> tuple[Any, ...]:
    """Return some values that fit a shape without parts."""
    match shape:
        case Text(pattern=pattern):
            plain = ("文字", "a text", "测试依据（待核实）")
            return tuple(text for text in TEXTS if re.fullmatch(pattern, text)) or plain
        case Filled():
            return ("JT", ["041200", "050500"])
        case Number(minimum, maximum):
            return (minimum, maximum)
        case Day(is_open):
            return ("2026-01-01", "2028-02-29", *((None, "无") if is_open else ()))
        case _:
            return (True, False)


def record(shape: Record, draw: st.DrawFn, *, chinese: bool) -> dict[str, Any]:
    chosen = {key for key, each in shape.fields.items() if each.is_required}
    if shape.one_of:
        chosen.add(draw(st.sampled_from(shape.one_of)))
    if shape.any_of:
        chosen.add(draw(st.sampled_from(shape.any_of)))
    free = sorted(set(shape.fields) - chosen - set(shape.one_of))
    chosen |= set(draw(st.lists(st.sampled_from(free), max_size=2)) if free else ())
    return {
        twin(key, {key: each.chinese}, is_chinese=chinese): values(
            each.shape, draw, chinese=chinese
        )
        for key, each in shape.fields.items()
        if key in chosen
    }


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every part of a nested value as (container, key)."""
    found: list[tuple[Any, Any]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], dict | list):
            found += places(value[key])
    return found


def spoil(pack: dict[str, Any], draw: st.DrawFn) -> None:
    """Change one thing somewhere: leave it out, replace it, double it, add a key."""
    container, key = draw(st.sampled_from(places(pack)))
    match draw(st.sampled_from(("remove", "replace", "double", "add"))):
        case "remove":
            del container[key]
        case "replace":
            container[key] = draw(st.sampled_from(BAD))
        case "double" if isinstance(container, list):
            container.append(deepcopy(container[key]))
        case _ if isinstance(container, dict):
            container[draw(st.sampled_from(("colour", "规则", "then", "处理", "matters")))] = "x"
        case _:
            container.append("x")


@st.composite
def packs(draw: st.DrawFn, *, spoilt: int = 0) -> dict[str, Any]:
    pack = record(PACK, draw, chinese=draw(st.booleans()))
    for _ in range(spoilt):
        spoil(pack, draw)
    return pack


SLOW = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@SLOW
@given(pack=packs())
def test_what_the_form_allows_passes_both(pack: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(pack)] == []
    assert [str(finding) for finding in load_document(as_yaml(pack)).findings] == []


@SLOW
@given(pack=packs(spoilt=1) | packs(spoilt=2))
def test_the_schema_and_the_parser_agree_on_any_pack(pack: dict[str, Any]) -> None:
    findings = load_document(as_yaml(pack)).findings

    assert VALIDATOR.is_valid(pack) is (findings == ()), findings


@SLOW
@given(pack=packs())
def test_a_document_survives_being_written_and_read(pack: dict[str, Any]) -> None:
    document = load_document(as_yaml(pack))
    written = write_document(document)

    assert load_document(written).content == document.content
    assert write_document(load_document(written)) == written


@SLOW
@given(pack=packs(spoilt=3))
def test_what_is_wrong_is_left_out_and_the_rest_is_kept(pack: dict[str, Any]) -> None:
    document = load_document(as_yaml(pack))
    rest = load_document(write_document(Document(document.content)))

    assert rest.content == document.content or document.has_errors


@pytest.mark.golden
def test_the_file_for_editors_is_the_one_that_is_made(golden: Golden) -> None:
    golden.check("routing_rules/schema/pack.schema.json", schema_text())


@pytest.mark.parametrize("path", PACKS, ids=[path.stem for path in PACKS])
def test_the_projects_packs_fit_the_schema_and_read_the_same_when_written(path: Path) -> None:
    document = load_document(path.read_bytes())

    assert document.findings == ()
    assert [error.message for error in VALIDATOR.iter_errors(document.content)] == []
    assert load_document(write_document(document)) == document


TABLES = {
    **{str(kept): table for kept, table in words.KEYS.items()},
    **{
        name: table
        for name, table in vars(words).items()
        if name.isupper() and isinstance(table, dict) and name != "KEYS"
    },
}


@pytest.mark.parametrize("name", sorted(TABLES))
def test_each_word_has_one_twin_in_its_list(name: str) -> None:
    table = TABLES[name]

    assert all(table.values())
    assert len(set(table.values())) == len(table)
    for english, chinese in table.items():
        assert words.canonical(chinese, table) == words.canonical(english, table) == english
