"""Redaction: what may never stand in a log line, whoever logs it.

Events are logged with codes, names and numbers only (docs/security.md#logs). This is the second
line of defence, for the day somebody forgets:

* the value of a key that names a CONTENT or PERSONAL field of the standard, or a secret, is masked;
* a protobuf message, bytes and an exception are replaced by what they are, never what they hold;
* digits that look like a mobile phone or an identity number are masked wherever they stand;
* every text and every collection is cut to a named bound.

The names of sensitive fields come from the data classes of the schema, so a new field is covered
by its classification alone. A name that is also an ordinary word of the logs (`kind`, `name`) is
never CONTENT or PERSONAL in the standard; a test holds this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from gateway.kernel.errors import LubiaoError
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import ticket_pb2, ticket_service_pb2
from hotline.type.v1 import data_class_pb2, statement_pb2

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FileDescriptor

MASK = "[masked]"
VALUE_LENGTH_MAX = 300  # a log line stays one screen, whatever a hostile caller sent
ITEMS_MAX = 50  # of one collection
DEPTH_MAX = 4  # of nested collections
SECRET_KEYS = frozenset({"dsn", "password", "private_key", "secret", "token", "resume_token"})
_FILES = (custody_pb2, ticket_pb2, ticket_service_pb2, statement_pb2)
_SENSITIVE = (data_class_pb2.DATA_CLASS_CONTENT, data_class_pb2.DATA_CLASS_PERSONAL)
_LONG_RUN = re.compile(r"\d{10}")  # in every number that the two below find
# Not inside a longer run of digits: a ticket number holds eighteen digits that are nobody's.
_PHONE = re.compile(r"(?<!\d)(?:\+?86[- ]?)?1[3-9]\d{9}(?!\d)")
# Ids of requests and traces; an identity number has no letter from a to f in it.
_HEXADECIMAL_ID = re.compile(r"(?=[0-9]*[a-f])[0-9a-f]{32}")
_IDENTITY = re.compile(r"(?<!\d)[1-9]\d{5}(?:18|19|20)\d{9}[\dXx](?![\dXx])")


@cache
def sensitive_keys() -> frozenset[str]:
    """Return the names of all CONTENT and PERSONAL fields of the standard, and of secrets."""
    fields = {
        field.name
        for file in _FILES
        for message in _messages_of(file.DESCRIPTOR)
        for field in message.fields
        if field.GetOptions().Extensions[data_class_pb2.data_class] in _SENSITIVE
    }
    return frozenset(fields) | SECRET_KEYS


def redact(event: Mapping[str, object]) -> dict[str, object]:
    """Return a log event with nothing in it that must not be logged."""
    masked = sensitive_keys()
    return {key: MASK if key in masked else safe(value) for key, value in event.items()}


def safe(value: object, depth: int = 0) -> object:
    """Return `value` in a form that may be logged."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if isinstance(value, Message):
        return f"[{value.DESCRIPTOR.full_name}]"
    if isinstance(value, LubiaoError):
        return f"{type(value).__name__} {value.reason}"
    if isinstance(value, BaseException):
        return type(value).__name__  # its text may quote what the caller sent
    if isinstance(value, Enum):
        return value.name
    return _collection(value, depth)


def _collection(value: object, depth: int) -> object:
    if depth >= DEPTH_MAX:
        return f"[{type(value).__name__}]"
    if isinstance(value, Mapping):
        items = list(value.items())[:ITEMS_MAX]
        masked = sensitive_keys()
        return {
            str(key): MASK if str(key) in masked else safe(item, depth + 1) for key, item in items
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [safe(item, depth + 1) for item in list(value)[:ITEMS_MAX]]
    return _text(str(value))


def _text(value: str) -> str:
    cut = value if len(value) <= VALUE_LENGTH_MAX else value[:VALUE_LENGTH_MAX] + "…"
    if not _LONG_RUN.search(cut) or _HEXADECIMAL_ID.fullmatch(value):
        return cut
    return _IDENTITY.sub(MASK, _PHONE.sub(MASK, cut))


def _messages_of(file: FileDescriptor) -> Iterator[Descriptor]:
    yield from _with_nested(file.message_types_by_name.values())


def _with_nested(messages: Iterable[Descriptor]) -> Iterator[Descriptor]:
    for message in messages:
        yield message
        yield from _with_nested(message.nested_types)
