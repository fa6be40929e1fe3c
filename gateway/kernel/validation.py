"""Machine limits of the standard: the `buf.validate` rules, run by one shared validator.

One limit holds for every text and so stands in no rule: no U+0000, which PostgreSQL cannot store.
A violation is a `FieldInvalid` that names the first field and lists all of them. Values are never
echoed: a field may hold personal data.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.kernel.errors import FieldInvalid

VIOLATIONS_LISTED_MAX = 20  # an error must fit the 8 KiB of gRPC trailers
NUL_EXPECTED = "text without the character U+0000"
_NO_MATCH = "does not match regex pattern"  # as the validator says it of a value


@cache
def _validator() -> protovalidate.Validator:
    return protovalidate.Validator()


def validate(message: Message) -> None:
    """Return if `message` keeps the limits of its schema.

    Raises:
        FieldInvalid: it does not; `violations` holds (field, expected) pairs of all of them.
    """
    found: list[tuple[str, str]] = []
    try:
        _validator().validate(message)
    except protovalidate.ValidationError as error:
        found = [(_path(item), _expected(item.proto.message)) for item in error.violations]
    if b"\0" in message.SerializePartialToString():  # quick, and seldom true without such a text
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
