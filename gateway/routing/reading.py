"""Nodes → plain values of the form: translated, bounded, with their lines; every problem noted.

Reads what `grammar.py` describes. A wrong value is noted and left out, so that one pass names all
that is wrong. A value keeps its text as written: a code like `041200` must be in quotes, because
without them YAML and its tools take it for a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import assert_never

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.routing.grammar import (
    PARAMETER,
    PLACEHOLDER,
    TEMPLATE,
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
from gateway.routing.nodes import Reader, is_null, line_of, shown
from gateway.routing.words import FLAGS, NOTHING, Words, canonical

Value = str | int | bool | list["Value"] | dict[str, "Value"] | None
_TEXT_TAG = "tag:yaml.org,2002:str"
_DAY_TAGS = frozenset({_TEXT_TAG, "tag:yaml.org,2002:timestamp"})
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PARAMETERS = frozenset({"parameters", TEMPLATE.fields["parameters"].chinese})


@dataclass(slots=True)
class Place:
    """Where a value stands: its line, and the places of what is in it."""

    line: int
    parts: dict[str, Place] | list[Place] | None = None

    def of(self, *path: str | int) -> Place:
        """Return the place of a part; the nearest known one when it is not there."""
        place = self
        for step in path:
            parts = place.parts
            if isinstance(parts, dict) and isinstance(step, str):
                place = parts.get(step, place)
            elif isinstance(parts, list) and isinstance(step, int) and step < len(parts):
                place = parts[step]
        return place


@dataclass(frozen=True, slots=True)
class Read:
    """A value that fits its shape, with its place."""

    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class FormReader:
    """Reads nodes by shapes; `placeholders` are the parameters of the template being read."""

    notes: Reader
    placeholders: frozenset[str] = field(default_factory=frozenset)

    def read(self, node: Node, shape: Shape) -> Read | None:
        """Return what a node holds, or None after noting what is wrong."""
        if isinstance(shape, Template):
            return self._record(node, shape.record)
        if self._is_placeholder(node):
            return Read(node.value, Place(line_of(node)))
        match shape:
            case Record():
                return self._record(node, shape)
            case Listing():
                return self._listing(node, shape)
            case Table():
                return self._table(node, shape)
            case Filled():
                return self._filled(node)
            case Text() | Word() | Flag() | Number() | Day():
                return self._scalar(node, shape)
        assert_never(shape)

    def _is_placeholder(self, node: Node) -> bool:
        if not self.placeholders or not isinstance(node, ScalarNode):
            return False
        found = re.fullmatch(PLACEHOLDER, node.value)
        return found is not None and found[1] in self.placeholders

    # --- records, lists, tables ----------------------------------------------------------------

    def _record(self, node: Node, record: Record) -> Read | None:
        known = ", ".join(record.fields) or "nothing: {}"
        known_zh = "、".join(each.chinese for each in record.fields.values()) or "空值 {}"
        if not isinstance(node, MappingNode):
            self._note(
                node, "not a mapping", f"Give the keys {known}", f"不是键值结构|写出：{known_zh}"
            )
            return None
        seen: dict[str, Node] = {}
        values: dict[str, Value] = {}
        places: dict[str, Place] = {}
        for key_node, value in node.value:
            key = record.key_of(key_node.value) if isinstance(key_node, ScalarNode) else None
            if key is None:
                text = shown(key_node.value if isinstance(key_node, ScalarNode) else "?")
                self._note(
                    key_node,
                    f"key {text} is not known",
                    f"Use only {known}",
                    f"不认识的键 {text}|只能用：{known_zh}",
                )
            elif key in seen:
                chinese = record.fields[key].chinese
                self._note(
                    key_node,
                    f"key {key} is there twice",
                    "Keep one of them",
                    f"“{chinese}”（{key}）写了两次|只保留一个",
                )
            else:
                seen[key] = value
                inner = self._inner(node) if (record.name, key) == ("template", "rule") else self
                if read := inner.read(value, record.fields[key].shape):
                    values[key], places[key] = read.value, read.place
        self._complete(node, record, seen)
        ordered: dict[str, Value] = {key: values[key] for key in record.fields if key in values}
        return Read(ordered, Place(line_of(node), places))

    def _inner(self, template: MappingNode) -> FormReader:
        """Return the reader of a template's rule: its parameters may stand for values."""
        names: set[str] = set()
        for key, value in template.value:
            if key.value in _PARAMETERS and isinstance(value, MappingNode):
                names.update(str(name.value) for name, _ in value.value)
        return FormReader(self.notes, frozenset(names))

    def _complete(self, node: Node, record: Record, seen: Mapping[str, Node]) -> None:
        """Note what is missing or too much."""
        for key, each in record.fields.items():
            if each.is_required and key not in seen:
                self._note(
                    node,
                    f"key {key} is missing",
                    "Add it; it is mandatory",
                    f"缺少“{each.chinese}”（{key}）|补上，必填",
                )
        for keys, fits, word, word_zh in (
            (record.one_of, 1, "exactly one", "必须写，且只能写一个"),
            (record.any_of, len(record.any_of), "at least one", "至少写一个"),
        ):
            count = sum(key in seen for key in keys)
            if keys and not 1 <= count <= fits:
                names = "、".join(record.fields[key].chinese for key in keys)
                self._note(
                    node,
                    f"{count} of {', '.join(keys)}",
                    f"Give {word} of them",
                    f"“{names}”写了 {count} 个|{word_zh}",
                )

    def _listing(self, node: Node, listing: Listing) -> Read | None:
        if not isinstance(node, SequenceNode):
            self._note(
                node,
                "not a list",
                "Write [a, b] or one `- value` per line",
                "不是列表|写成 [甲, 乙]，或每行一个“- 值”",
            )
            return None
        count = len(node.value)
        if not listing.length_min <= count <= listing.length_max:
            advice = f"Stay within {listing.length_max}" if count else "Leave the key out"
            advice_zh = f"不超过 {listing.length_max} 个" if count else "不需要就删去该键"
            self._note(node, f"{count} values", advice, f"有 {count} 个值|{advice_zh}")
            return None
        reads = [read for each in node.value if (read := self.read(each, listing.item))]
        if listing.is_set:
            reads = list(self._once(reads))
        values: list[Value] = [read.value for read in reads]
        return Read(values, Place(line_of(node), [read.place for read in reads]))

    def _once(self, reads: list[Read]) -> Iterator[Read]:
        seen: set[Value] = set()
        for read in reads:
            if isinstance(read.value, str) and read.value in seen:
                self.notes.note(
                    read.place.line,
                    f"{shown(read.value)} is there twice",
                    "Keep one of them",
                    zh=(f"{shown(read.value)} 写了两次", "只保留一个"),
                )
                continue
            if isinstance(read.value, str):
                seen.add(read.value)
            yield read

    def _table(self, node: Node, table: Table) -> Read | None:
        if not isinstance(node, MappingNode):
            self._note(
                node, "not a mapping", "Give a name and a value each", "不是键值结构|每行写“名: 值”"
            )
            return None
        if len(node.value) > table.length_max:
            count = len(node.value)
            self._note(
                node,
                f"{count} names",
                f"Stay within {table.length_max}",
                f"有 {count} 个参数|不超过 {table.length_max} 个",
            )
            return None
        values: dict[str, Value] = {}
        places: dict[str, Place] = {}
        for key_node, value in node.value:
            name = key_node.value if isinstance(key_node, ScalarNode) else ""
            if not re.fullmatch(PARAMETER, str(name)) or name in values:
                self._note(
                    key_node,
                    f"parameter {shown(name)}",
                    "Write each name once, in small letters and underscores",
                    f"参数名 {shown(name)} 不合规或重复|用小写字母和下划线，各写一次",
                )
            elif read := self.read(value, table.item):
                values[str(name)], places[str(name)] = read.value, read.place
        return Read(values, Place(line_of(node), places))

    def _filled(self, node: Node) -> Read | None:
        if isinstance(node, SequenceNode):
            return self._listing(node, Listing(Text(), is_set=False))
        return self._scalar(node, Text())

    # --- single values -------------------------------------------------------------------------

    def _scalar(self, node: Node, shape: Text | Word | Flag | Number | Day) -> Read | None:
        if not isinstance(node, ScalarNode):
            self._note(node, "not a single value", "Write one value", "应当只有一个值|只写一个值")
            return None
        value: Value
        match shape:
            case Text():
                value = self._text(node, shape)
            case Word(table):
                value = self._word(node, table)
            case Flag():
                word = canonical(node.value, FLAGS)
                if word is None or (node.tag == _TEXT_TAG) is (node.value == word):
                    self._note(
                        node,
                        "not true or false",
                        "Write true or false",
                        "应为“是”或“否”|写“是”或“否”",
                    )
                    word = None
                value = None if word is None else word == "true"
            case Number():
                value = self._number(node, shape)
            case Day():
                if shape.is_open and (is_null(node) or node.value == NOTHING):
                    return Read(None, Place(line_of(node)))
                value = self._day(node)
            case _:
                assert_never(shape)
        # A text after `|` or `>` begins on the next line.
        line = line_of(node) + (node.style in {"|", ">"})
        return None if value is None else Read(value, Place(line))

    def _text(self, node: ScalarNode, shape: Text) -> str | None:
        text = str(node.value)
        if shape.words is not None and (word := canonical(text, shape.words)):
            return word
        if node.tag != _TEXT_TAG:
            self._note(
                node,
                f"{shown(text)} is not a text",
                "Write some text, and put codes and numbers in quotes",
                f"{shown(text)} 不是文字|写文字；代码和数字要加引号",
            )
            return None
        if not text.strip():
            self._note(node, "not a text", "Write some text", "没有内容|填写内容")
            return None
        if len(text) > shape.length_max:
            self._note(
                node,
                f"{len(text)} characters",
                f"Stay within {shape.length_max}",
                f"有 {len(text)} 个字符|不超过 {shape.length_max} 个",
            )
            return None
        if shape.pattern and not re.fullmatch(shape.pattern, text):
            self._note(
                node,
                f"{shown(text)} does not fit",
                f"Write it like {shape.example}",
                f"{shown(text)} 不合格式|写成 {shape.example} 这样",
            )
            return None
        return text if shape.pattern else text.strip()

    def _word(self, node: ScalarNode, table: Words) -> str | None:
        word = canonical(node.value, table)
        if node.tag != _TEXT_TAG:  # 119 without quotes
            word = None
        if word is None:
            self._note(
                node,
                f"{shown(node.value)} is not known",
                f"Use one of {', '.join(table)}; put numbers in quotes",
                f"不认识 {shown(node.value)}|只能用：{'、'.join(table.values())}；数字要加引号",
            )
        return word

    def _number(self, node: ScalarNode, shape: Number) -> int | None:
        if _NUMBER.fullmatch(node.value) and node.tag != _TEXT_TAG:
            number = int(node.value)
            if shape.minimum <= number <= shape.maximum:
                return number
        self._note(
            node,
            f"{shown(node.value)} is no number from {shape.minimum} to {shape.maximum}",
            "Write a whole number without quotes",
            f"{shown(node.value)} 不是 {shape.minimum} 到 {shape.maximum} 的整数|写整数，不加引号",
        )
        return None

    def _day(self, node: ScalarNode) -> str | None:
        if node.tag in _DAY_TAGS and _DAY.fullmatch(node.value) and is_day(node.value):
            return str(node.value)
        self._note(
            node,
            f"{shown(node.value)} is not a day",
            "Write it as 2026-01-31",
            f"{shown(node.value)} 不是日期|写成 2026-01-31 这样",
        )
        return None

    def _note(self, node: Node, problem: str, advice: str, zh: str) -> None:
        problem_zh, _, advice_zh = zh.rpartition("|")
        self.notes.note(line_of(node), problem, advice, zh=(problem_zh, advice_zh))


def is_day(text: str) -> bool:
    """Tell whether a text is a day of the calendar."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
