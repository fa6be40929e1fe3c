"""Machine limits of the standard: the `buf.validate` rules, run by one shared validator.

A violation is a `FieldInvalid` that names the first field and lists all of them. Values are never
echoed: a field may hold personal data.
"""

from __future__ import annotations

from functools import cache

import protovalidate
from google.protobuf.message import Message

from gateway.kernel.errors import FieldInvalid

VIOLATIONS_LISTED_MAX = 20  # an error must fit the 8 KiB of gRPC trailers


@cache
def _validator() -> protovalidate.Validator:
    return protovalidate.Validator()


def validate(message: Message) -> None:
    """Return if `message` keeps the limits of its schema.

    Raises:
        FieldInvalid: it does not; `violations` holds (field, expected) pairs of all of them.
    """
    try:
        _validator().validate(message)
    except protovalidate.ValidationError as error:
        found = [(_path(item), item.proto.message) for item in error.violations]
        field, expected = found[0]
        invalid = FieldInvalid(
            field=field,
            got="a value outside the limits",
            expected=expected,
            hint="; ".join(f"{name}: {what}" for name, what in found[1:VIOLATIONS_LISTED_MAX]),
        )
        invalid.violations = tuple(found[:VIOLATIONS_LISTED_MAX])
        raise invalid from None


def _path(violation: protovalidate.Violation) -> str:
    parts = []
    path = violation.proto.field
    for element in path.elements if path is not None else ():
        subscript = f"[{element.subscript.value}]" if element.subscript else ""
        parts.append(f"{element.field_name}{subscript}")
    return ".".join(parts) or "message"
