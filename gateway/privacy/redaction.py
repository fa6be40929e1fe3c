"""Redaction by data class: what the standard marks CONTENT or PERSONAL never reaches a log.

The option `(hotline.type.v1.data_class)` on each field is the only source; there is no second list
of personal fields that could be forgotten. What is not a string or bytes (codes, flags, times) is
kept. See docs/privacy.md#redaction.
"""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.kernel.codes import DataClass
from hotline.type.v1 import data_class_pb2

HIDDEN = frozenset({DataClass.CONTENT, DataClass.PERSONAL})
AnyMessage = TypeVar("AnyMessage", bound=Message)
_TEXTS = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES}


def data_class_of(field: FieldDescriptor) -> DataClass:
    """Return the data class that the standard gives a field; UNSPECIFIED when it gives none."""
    return DataClass(field.GetOptions().Extensions[data_class_pb2.data_class])


def placeholder(data_class: DataClass) -> str:
    """Return what stands in the place of a hidden text."""
    return f"‹redacted:{data_class.name}›"


def redacted(message: AnyMessage) -> AnyMessage:
    """Return a copy of `message` whose CONTENT and PERSONAL texts are replaced."""
    copy = type(message)()
    copy.CopyFrom(message)
    _hide(copy)
    return copy


def _hide(message: Message) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None:
            _hide_below(field, value)
        elif field.type in _TEXTS and (found := data_class_of(field)) in HIDDEN:
            _replace(message, field, placeholder(found))


def _hide_below(field: FieldDescriptor, value: object) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        return  # the standard's maps hold public facts only (tests/tidy asserts it)
    messages = value if field.is_repeated else (value,)
    for item in messages:  # type: ignore[attr-defined] # a repeated field is iterable
        _hide(item)


def _replace(message: Message, field: FieldDescriptor, text: str) -> None:
    shown: str | bytes = text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
    if field.is_repeated:
        values = getattr(message, field.name)
        values[:] = [shown] * len(values)
    else:
        setattr(message, field.name, shown)
