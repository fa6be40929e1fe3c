"""Declarations of tables and queries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NewType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.database.columns import Kind, columns_of, decode_json, encode_json, normal_json
from gateway.database.table import Json, Table, bind_names, load_queries
from gateway.kernel.time import Instant

Code = NewType("Code", str)


@dataclass(frozen=True)
class Row:
    number: int
    code: Code
    moment: Instant | None
    content: bytes | None
    is_good: bool
    body: Json | None


def test_columns_follow_the_annotations() -> None:
    assert [(column.name, column.kind, column.is_nullable) for column in columns_of(Row)] == [
        ("number", Kind.INTEGER, False),
        ("code", Kind.TEXT, False),
        ("moment", Kind.INSTANT, True),
        ("content", Kind.BYTES, True),
        ("is_good", Kind.BOOLEAN, False),
        ("body", Kind.JSON, True),
    ]


def test_annotation_that_is_no_column_type_is_named() -> None:
    @dataclass(frozen=True)
    class Wrong:
        parts: list[str]

    with pytest.raises(TypeError, match=r"Wrong\.parts"):
        columns_of(Wrong)


def test_table_refuses_keys_that_are_no_columns() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Table("rows", Row, key=("nothing",))
    with pytest.raises(ValueError, match="first field"):
        Table("rows", Row, key=("number",), generated="code")


def test_parameters_are_numbered_and_everything_else_is_left_alone() -> None:
    sql = """
    SELECT ':no', "a:no", x::text, :b, -- :no
           /* :no
              :no */ :a, 'it''s :no', arr[1:2] FROM t WHERE t < :horizon AND :b > 0
    """
    bound = bind_names(sql, horizon="H()")
    assert bound.names == ("b", "a")
    assert bound.text == sql.replace(" :b", " $1").replace(" :a", " $2").replace(":horizon", "H()")


def test_queries_are_loaded_by_name(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text("-- name: one\nSELECT 1;\n\n-- name: two\nSELECT 2 -- name: x\n")
    assert load_queries(path) == {"one": "SELECT 1", "two": "SELECT 2 -- name: x"}
    path.write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2")
    with pytest.raises(ValueError, match="twice"):
        load_queries(path)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(texts, inner),
    max_leaves=10,
)


@given(json_values)
def test_normal_json_survives_the_way_through_text(value: object) -> None:
    normal = normal_json(value, field="f")
    assert decode_json(encode_json(normal)) == normal
    assert normal_json(normal, field="f") == normal
