"""Any pack that the form allows, made from the form itself."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

from gateway.routing.grammar import (
    PACK,
    PLACEHOLDER,
    Day,
    Filled,
    Flag,
    Listing,
    Number,
    Record,
    Shape,
    Table,
    Template,
    Text,
    Word,
)

PARAMETERS = ("kind", "region", "x_y")
# What spreadsheets, CSV and our own notation could stumble over.
AWKWARD = st.sampled_from(
    (
        "=1+1", "+86", "-1", "@x", "'", "json:{}", "a、b", "a;b\nc", "x\r\ny", "[a]", '["a"]', '"',
        "_x0041_", "a=b", "是", "长期", "无", "true", "null", "$kind", "041200", "\u2028", "\x85",
        "　x", "名, \"称\"", "a\tb", "\x07", "第一行\n第二行\n\n第四行", "place", "事发地",
    )
)  # fmt: skip
TEXTS = AWKWARD | st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
FREE = TEXTS.filter(lambda text: bool(text.strip()))


def values(shape: Shape, *, in_template: bool = False) -> st.SearchStrategy[Any]:
    """Return the values that fit a shape."""
    found = _values(shape, in_template=in_template)
    if in_template and not isinstance(shape, Table):
        return found | st.sampled_from(PARAMETERS).map(lambda name: f"${name}")
    return found


def _values(shape: Shape, *, in_template: bool) -> st.SearchStrategy[Any]:
    match shape:
        case Text():
            return _texts(shape)
        case Word(words):
            return st.sampled_from(sorted(words))
        case Flag():
            return st.booleans()
        case Number(minimum, maximum):
            return st.integers(minimum, maximum)
        case Day(is_open=is_open):
            days = st.dates(date(2000, 1, 1), date(2099, 1, 1)).map(date.isoformat)
            return days | st.none() if is_open else days
        case Listing(item=item, length_min=least, is_set=is_set):
            inner = values(item, in_template=in_template)
            most = max(least, 3)
            return st.lists(inner, min_size=least, max_size=most, unique_by=str if is_set else None)
        case Filled():
            return FREE | st.lists(FREE, min_size=1, max_size=3)
        case Table(item=item):
            return st.dictionaries(st.sampled_from(PARAMETERS), values(item), max_size=3)
        case Template() | Record():
            is_template = isinstance(shape, Template)
            record = shape.record if isinstance(shape, Template) else shape
            return _record(record, in_template=in_template or is_template)


def _texts(shape: Text) -> st.SearchStrategy[str]:
    if not shape.pattern:
        return FREE
    fitting = st.from_regex(shape.pattern, fullmatch=True).filter(
        lambda text: len(text) <= shape.length_max
    )
    return fitting | st.sampled_from(sorted(shape.words)) if shape.words else fitting


@st.composite
def _record(draw: st.DrawFn, record: Record, *, in_template: bool) -> dict[str, Any]:
    chosen = draw(st.sampled_from(record.one_of)) if record.one_of else None
    least = draw(st.sampled_from(record.any_of)) if record.any_of else None
    found: dict[str, Any] = {}
    for key, field in record.fields.items():
        if key in record.one_of and key != chosen:
            continue
        if field.is_required or key in {chosen, least} or draw(st.integers(0, 3)) == 0:
            found[key] = draw(values(field.shape, in_template=in_template))
    if record.name == "template":
        found["parameters"] = dict.fromkeys(PARAMETERS, "参数")
    return found


CONTENTS = values(PACK)
assert PLACEHOLDER.startswith(r"\$")
