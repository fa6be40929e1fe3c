"""Machine limits of the standard: the `buf.validate` rules, run by one shared validator.

One limit holds for every text and so stands in no rule: no U+0000, which PostgreSQL cannot store.
A violation is a `FieldInvalid` that names the first field and lists all of them. Values are never
echoed: a field may hold personal data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from gateway.kernel.errors import FieldInvalid

VIOLATIONS_LISTED_MAX = 20  # an error must fit the 8 KiB of gRPC trailers
NUL_EXPECTED = "text without the character U+0000"
BYTES_EXPECTED = "bytes that every protobuf decoder reads"
# A pattern of plain characters and positive classes, from end to end: U+0000 does not match it.
_NAMES_ALL = re.compile(r"\^(?:[^.|\\\[]|\[[^\^\\\]][^\\\]]*\])*\$")
_NO_MATCH = "does not match regex pattern"  # as the validator says it of a value


@cache
def _validator() -> protovalidate.Validator:
    return protovalidate.Validator()


def validate(message: Message) -> None:
    """Return if `message` keeps the limits of its schema.

    Raises:
        FieldInvalid: it does not; `violations` holds (field, expected) pairs of all of them.
    """
    found = [(_path(item), _expected(item.proto.message)) for item in _violations(message)]
    if _is_free(message.DESCRIPTOR) and _holds_nul(message):
        found += [(path, NUL_EXPECTED) for path in _texts_with_nul(message, "")]
    if not found:
        return
    field, expected = found[0]
    invalid = FieldInvalid(
        field=field,
        got="a value outside the limits",
        expected=expected,
        hint="; ".join(f"{name}: {what}" for name, what in found[1:VIOLATIONS_LISTED_MAX]),
    )
    invalid.violations = tuple(found[:VIOLATIONS_LISTED_MAX])
    raise invalid


def _violations(message: Message) -> Sequence[protovalidate.Violation]:
    """Return what the validator has against `message`.

    Raises:
        FieldInvalid: it cannot read the message. It decodes by itself what was kept of unknown
            fields, and stricter: protobuf's own decoder passes over whatever an unknown group
            holds, the field number 0 among it.
    """
    try:
        _validator().validate(message)
    except protovalidate.ValidationError as error:
        return error.violations
    except ValueError as error:
        invalid = FieldInvalid(field="message", got="other bytes", expected=BYTES_EXPECTED)
        invalid.violations = (("message", BYTES_EXPECTED),)
        raise invalid from error
    return ()


def _path(violation: protovalidate.Violation) -> str:
    parts = []
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        subscript = f"[{element.subscript.value}]" if element.subscript else ""
        parts.append(f"{element.field_name}{subscript}")
    return ".".join(parts) or "message"


def _expected(text: str) -> str:
    """Return what a rule expects, to stand behind "expected"."""
    _, _, pattern = text.partition(_NO_MATCH)
    if pattern:
        return f"a match of{pattern}"
    return text.removeprefix("value ").removeprefix("must be ")


@cache
def _is_free(message: Descriptor) -> bool:
    """Tell whether a message of this type can hold a text whose characters no rule names."""
    return any(_is_free_field(field, frozenset({message.full_name})) for field in message.fields)


def _is_free_field(field: FieldDescriptor, above: frozenset[str]) -> bool:
    inner = field.message_type
    if inner is not None:
        if inner.full_name in above:
            return False  # said by the message above
        return any(_is_free_field(one, above | {inner.full_name}) for one in inner.fields)
    if field.type != FieldDescriptor.TYPE_STRING:
        return False
    rules = field.GetOptions().Extensions[validate_pb2.field]
    text = rules.repeated.items.string if field.is_repeated else rules.string
    return not (text.uuid or _NAMES_ALL.fullmatch(text.pattern))


@cache
def _nul_search(field: FieldDescriptor) -> Callable[[Any], bool] | None:
    """Return what looks for U+0000 in the values of a field; None where none can be."""
    if not _is_free_field(field, frozenset()):
        return None
    if field.type == FieldDescriptor.TYPE_STRING:
        return _any_nul if field.is_repeated else _is_nul_in
    return _any_holds_nul if field.is_repeated else _holds_nul


def _is_nul_in(text: str) -> bool:
    return "\0" in text


def _any_nul(texts: Iterable[str]) -> bool:
    return "\0" in "".join(texts)


def _holds_nul(message: Message) -> bool:
    """Tell whether any text in a message holds U+0000."""
    for field, value in message.ListFields():
        search = _nul_search(field)
        if search is not None and search(value):
            return True
    return False


def _any_holds_nul(messages: Iterable[Message]) -> bool:
    return any(map(_holds_nul, messages))


def _texts_with_nul(message: Message, prefix: str) -> Iterator[str]:
    """Yield the paths of texts with U+0000; the standard's requests hold no maps."""
    for field, value in message.ListFields():
        if field.type not in {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_MESSAGE}:
            continue
        for index, item in enumerate(value if field.is_repeated else (value,)):
            path = f"{prefix}{field.name}[{index}]" if field.is_repeated else prefix + field.name
            if isinstance(item, Message):
                yield from _texts_with_nul(item, f"{path}.")
            elif isinstance(item, str) and "\0" in item:
                yield path
