"""One value ↔ the text of its cell, without loss.

Words appear in Chinese, flags as 是 and 否, several hits in one cell with `、` between them. A text
that a spreadsheet would take for something else (a formula, a control character) or that would be
read back as another value is written as `json:` and its JSON. What does not fit when it is read is
handed on as it is, and the form says what is wrong with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from gateway.routing.grammar import (
    NEXT,
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
    Text,
    Word,
)
from gateway.routing.reading import Value, is_day
from gateway.routing.words import FLAGS, NOTHING, canonical
from gateway.sheets.columns import record_of

JSON = "json:"
FOREVER = "长期"  # an open end, for people
BETWEEN = "、"
_SPLIT = re.compile(r"[、，,；;\n]+")
# What a spreadsheet takes for a formula or a command, cannot hold, or unfolds by itself.
_UNSAFE = re.compile(
    "^[=+\\-@'\t]|^json:|[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]"
    "|_x[0-9A-Fa-f]{4}_"
)
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]|_(?=x)")
_PAIR = re.compile(r'([^\s=]+)=("(?:[^"\\]|\\.)*"|[^\s"]\S*)')
_DAY = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LONE = re.compile(PLACEHOLDER)
_NAME = re.compile(PARAMETER)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")


class NoCell(ValueError):
    """A text that cannot be handed on: `zh` and `en` say what is wrong."""

    def __init__(self, zh: tuple[str, str], en: tuple[str, str]) -> None:
        """Keep problem and advice in both languages."""
        super().__init__(en[0])
        self.zh, self.en = zh, en


# --- writing ----------------------------------------------------------------------------------


def cell_of(value: Value, shape: Shape, *, in_template: bool = False) -> str:
    """Return the text of a value's cell."""
    text = _plain(value, shape, in_template=in_template)
    if text is None or not text or text != text.strip() or _UNSAFE.search(text):
        return json_cell(value)
    return text


def json_cell(value: object) -> str:
    """Return a value as a cell that holds JSON."""
    return JSON + _json(value)


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _plain(value: Value, shape: Shape, *, in_template: bool) -> str | None:
    """Return the text of a value as people write it; None when there is none that says it."""
    match value, shape:
        case None, Day(is_open=True):
            return FOREVER
        case bool(), Flag():
            return FLAGS["true" if value else "false"]
        case bool(), _:
            return None
        case int(), Number():
            return str(value)
        case str(), _:
            return _text(value, shape, in_template=in_template)
        case list(), Listing(item=item):
            return _list(value, item, in_template=in_template)
        case dict(), Table():
            return _table(value)
        case _:
            return None


def _text(value: str, shape: Shape, *, in_template: bool) -> str | None:
    if in_template and _LONE.fullmatch(value):
        return value
    match shape:
        case Text(words=words) if words and value in words:
            return words[value]
        case Text(words=words):
            return None if words and canonical(value, words) else value
        case Word(words):
            return words.get(value)
        case Day():
            return value if _ISO.fullmatch(value) else None
        case _:
            return None


def _list(values: list[Value], item: Shape, *, in_template: bool) -> str | None:
    if item is NEXT:
        return _targets(values)
    texts = [_plain(value, item, in_template=in_template) for value in values]
    if not texts or any(text is None or _is_split(text) for text in texts):
        return None
    if in_template and len(texts) == 1 and _LONE.fullmatch(texts[0] or ""):
        return None  # as a text it would be the parameter itself, not a list of it
    return BETWEEN.join(text for text in texts if text is not None)


def _is_split(text: str) -> bool:
    return not text or bool(_SPLIT.search(text)) or text != text.strip()


def _targets(values: list[Value]) -> str | None:
    """Return targets one a line: `派单 单位类别=JT 协办=SJ、GA`."""
    lines: list[str] = []
    for value in values:
        if not isinstance(value, dict) or len(value) != 1:
            return None
        ((action, parameters),) = value.items()
        record = record_of(NEXT.fields[action].shape) if action in NEXT.fields else None
        if record is None or not isinstance(parameters, dict):
            return None
        parts = [NEXT.fields[action].chinese]
        for name, each in parameters.items():
            if name not in record.fields:
                return None
            field = record.fields[name]
            text = cell_of(each, field.shape)
            is_simple = not re.search(r'[\s"=]', text)
            parts.append(f"{field.chinese}={text if is_simple else _json(text)}")
        lines.append(" ".join(parts))
    return "\n".join(lines) or None


def _table(values: dict[str, Value]) -> str | None:
    """Return names and values one a line: `名=值`, or `名=[甲、乙]`."""
    if not values:
        return NOTHING
    return "\n".join(f"{name}={_filled(values[name])}" for name in sorted(values))


def _filled(value: Value) -> str:
    match value:
        case str() if value and value == value.strip() and not re.search(r'^["\[]|\n', value):
            return _json(value) if _UNSAFE.search(value) else value
        case list() if value and all(isinstance(each, str) for each in value):
            texts = [str(each) for each in value]
            is_simple = not any(_is_split(text) or re.search(r'["\[\]]', text) for text in texts)
            is_simple = is_simple and not any(_UNSAFE.search(text) for text in texts)
            return f"[{BETWEEN.join(texts)}]" if is_simple else _json(value)
        case _:
            return _json(value)


# --- reading ----------------------------------------------------------------------------------


def value_of(text: str, shape: Shape, *, in_template: bool = False) -> Value:
    """Return the value of a cell's text.

    Raises:
        NoCell: it cannot even be handed on.
    """
    if text.startswith(JSON):
        return vetted(_parsed(text.removeprefix(JSON)), shape)
    if in_template and _LONE.fullmatch(text):
        return text
    match shape:
        case Listing(item=item) if item is NEXT:
            return [_target(line) for line in text.splitlines() if line.strip()]
        case Listing(item=item):
            parts = [part.strip() for part in _SPLIT.split(text)]
            return [_single(part, item) for part in parts if part]
        case Table():
            return _table_of(text)
        case _:
            return _single(text, shape)


def vetted(value: Value, shape: Shape) -> Value:
    """Return a value whose parts may be written down; raise `NoCell` for one that may not."""
    match value, shape:
        case dict(), _ if (record := record_of(shape)) is not None:
            for key, each in value.items():
                if key not in record.fields:
                    raise NoCell(
                        (f"不认识的键 {key[:40]!r}", f"只能用 {'、'.join(record.fields)}"),
                        (f"key {key[:40]!r} is not known", f"Use {', '.join(record.fields)}"),
                    )
                vetted(each, record.fields[key].shape)
        case list(), Listing(item=item):
            for each in value:
                vetted(each, item)
        case dict(), Table(item=item):
            for name, each in value.items():
                _check_name(name)
                vetted(each, item)
        case str(), Day():
            _single(value, shape)
        case _:
            pass
    return value


def _parsed(text: str) -> Value:
    try:
        value: Value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoCell(
            ("“json:”之后不是 JSON", "去掉“json:”直接写值，或改正"),
            ("no JSON after `json:`", "Write the value without `json:`, or correct it"),
        ) from error
    return value


def _single(text: str, shape: Shape) -> Value:
    match shape:
        case Flag():
            word = canonical(text, FLAGS)
            return text if word is None else word == "true"
        case Number():
            return int(text) if _NUMBER.fullmatch(text) else text
        case Word(words):
            return canonical(text, words) or text
        case Text(words=words):
            return (canonical(text, words) if words else None) or text
        case Day(is_open=is_open):
            return _day(text, is_open=is_open)
        case Filled():
            return text
        case _:
            return text


def _day(text: str, *, is_open: bool) -> Value:
    if is_open and text in {FOREVER, NOTHING, "null"}:
        return None
    if found := _DAY.fullmatch(text):
        day = f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"
        if is_day(day):
            return day
    raise NoCell(
        (f"{text[:40]!r} 不是日期", "写成 2026-01-31" + ("，不失效则写“长期”" if is_open else "")),
        (f"{text[:40]!r} is not a day", "Write it as 2026-01-31"),
    )


def _target(line: str) -> Value:
    word, _, rest = line.strip().partition(" ")
    action = NEXT.key_of(word)
    left = _PAIR.sub("", rest).strip()
    if action is None or left:
        raise NoCell(
            (
                f"{line[:60]!r} 不是去向",
                "每行写一个，如：派单 单位类别=JT，或 移交 接收机构=130000",
            ),
            (f"{line[:60]!r} is no target", "Write one a line: 派单 单位类别=JT"),
        )
    record = record_of(NEXT.fields[action].shape)
    assert isinstance(record, Record)
    parameters: dict[str, Value] = {}
    for name, written in _PAIR.findall(rest):
        key = record.key_of(name)
        if key is None:
            known = "、".join(field.chinese for field in record.fields.values())
            raise NoCell(
                (f"{word} 没有“{name[:40]}”", f"只能用 {known}"),
                (f"{action} has no {name[:40]!r}", f"Use {', '.join(record.fields)}"),
            )
        text = str(_parsed(written)) if written.startswith('"') else written
        parameters[key] = value_of(text, record.fields[key].shape)
    return {action: parameters}


def _table_of(text: str) -> Value:
    if text == NOTHING:
        return {}
    values: dict[str, Value] = {}
    for line in text.splitlines():
        name, equals, written = (part.strip() for part in line.partition("="))
        if not line.strip():
            continue
        if not equals:
            raise NoCell(
                (f"{line[:60]!r} 中没有等号", "每行写“参数名=值”，多个值写“参数名=[甲、乙]”"),
                (f"{line[:60]!r} has no `=`", "Write name=value, one a line"),
            )
        _check_name(name)
        values[name] = _filled_of(written)
    return values


def _filled_of(written: str) -> Value:
    if written.startswith(('"', '["')):
        return _parsed(written)
    if written.startswith("[") and written.endswith("]"):
        inner: Iterable[str] = (part.strip() for part in _SPLIT.split(written[1:-1]))
        return [part for part in inner if part]
    return written


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise NoCell(
            (f"参数名 {name[:40]!r} 不合规", "用小写字母和下划线"),
            (f"parameter {name[:40]!r}", "Use small letters and underscores"),
        )
