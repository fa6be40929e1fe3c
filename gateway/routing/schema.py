"""The JSON Schema of packs for editors, made from the form (`grammar.py`), keys in both languages.

Every key may be written in English or Chinese, and mandatory ones in either. It says what the form
says; what needs reference data (is this code in use?) is for `lubiao rules check`. The file
`routing_rules/schema/pack.schema.json` is written by `make golden`, and a test holds the schema
against the parser. Not said: that a word and its twin in one list are the same word twice.
"""

from __future__ import annotations

import json
from typing import assert_never

from gateway.routing.grammar import (
    LIST_LENGTH_MAX,
    NOTES,
    PACK,
    PARAMETER,
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
from gateway.routing.words import FLAGS, NOTHING, Words

Schema = dict[str, object]
_NOT_BLANK = r"\S"
_DAY = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


def pack_schema() -> Schema:
    """Return the schema of a pack."""
    definitions: dict[str, Schema] = {}
    top = _Maker(definitions).record(PACK)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pack of distribution rules / 派单规则包",
        "description": "Form of a pack; `lubiao rules check` also compares its codes with the "
        "reference data. See docs/routing.md.",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """Return the schema as the file holds it."""
    return json.dumps(pack_schema(), ensure_ascii=False, indent=2) + "\n"


class _Maker:
    """Makes schemas; records become definitions, once for rules and once for templates."""

    def __init__(self, definitions: dict[str, Schema], *, in_template: bool = False) -> None:
        self._definitions, self._in_template = definitions, in_template

    def of(self, shape: Shape) -> Schema:
        """Return the schema of a shape; in a template a parameter may stand for anything."""
        if isinstance(shape, Template):
            return _Maker(self._definitions, in_template=True).named(shape.record)
        plain = self._plain(shape)
        if not self._in_template:
            return plain
        return {"anyOf": [plain, {"type": "string", "pattern": f"^{PLACEHOLDER}$"}]}

    def _plain(self, shape: Shape) -> Schema:
        match shape:
            case Record():
                return self.named(shape)
            case Listing():
                return self._listing(shape)
            case Table(item, length_max):
                return {
                    "type": "object",
                    "propertyNames": {"pattern": f"^{PARAMETER}$"},
                    "additionalProperties": self.of(item),
                    "maxProperties": length_max,
                }
            case Template():
                raise AssertionError("made by `of`")
            case _:
                return _single(shape)

    def _listing(self, listing: Listing) -> Schema:
        made: Schema = {
            "type": "array",
            "items": self.of(listing.item),
            "minItems": listing.length_min,
            "maxItems": listing.length_max,
        }
        return {**made, "uniqueItems": True} if listing.is_set else made

    def named(self, record: Record) -> Schema:
        """Return a reference to a record's definition, made on first use."""
        name = f"template_{record.name}" if self._in_template else record.name
        if name not in self._definitions:
            self._definitions[name] = {}  # a record within itself would find it
            self._definitions[name] = self.record(record)
        return {"$ref": f"#/$defs/{name}"}

    def record(self, record: Record) -> Schema:
        """Return the schema of a record: each key in either language, never in both."""
        properties: dict[str, Schema] = {}
        rules: list[Schema] = []
        for key, each in record.fields.items():
            note = NOTES.get(f"{record.name}.{key}", "")
            made = {**self.of(each.shape), "description": note} if note else self.of(each.shape)
            properties[key] = made
            properties[each.chinese] = made
            if each.is_required:
                rules.append(_either(key, each.chinese, fits="oneOf"))
            elif each.chinese != key:
                rules.append({"not": {"required": [key, each.chinese]}})
        if record.one_of:
            rules.append({"oneOf": _some(record, record.one_of)})
        if record.any_of:
            rules.append({"anyOf": _some(record, record.any_of)})
        made_record: Schema = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        return {**made_record, "allOf": rules} if rules else made_record


def _some(record: Record, keys: tuple[str, ...]) -> list[Schema]:
    return [_either(key, record.fields[key].chinese, fits="anyOf") for key in keys]


def _either(key: str, chinese: str, *, fits: str) -> Schema:
    return {fits: [{"required": [key]}, {"required": [chinese]}]}


def _single(shape: Text | Word | Flag | Number | Day | Filled) -> Schema:
    match shape:
        case Text():
            return _text(shape)
        case Word(words):
            return {"enum": _both(words)}
        case Flag():
            return {"enum": [True, False, *FLAGS.values()]}
        case Number(minimum, maximum):
            return {"type": "integer", "minimum": minimum, "maximum": maximum}
        case Day(is_open):
            day: Schema = {"type": "string", "format": "date", "pattern": _DAY}
            return {"anyOf": [day, {"enum": [None, NOTHING]}]} if is_open else day
        case Filled():
            text = _text(Text())
            texts = {"type": "array", "items": text, "minItems": 1, "maxItems": LIST_LENGTH_MAX}
            return {"anyOf": [text, texts]}
    assert_never(shape)


def _text(shape: Text) -> Schema:
    pattern = f"^(?:{shape.pattern})$" if shape.pattern else _NOT_BLANK
    made: Schema = {"type": "string", "maxLength": shape.length_max, "pattern": pattern}
    if shape.words is None:
        return made
    return {"anyOf": [{"enum": _both(shape.words)}, made]}


def _both(words: Words) -> list[str]:
    return list(dict.fromkeys([*words, *words.values()]))
