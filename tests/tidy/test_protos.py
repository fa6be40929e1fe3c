"""The standard explains itself: every element commented, every text classified."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

import generate
from hotline.type.v1 import data_class_pb2

TEXT_TYPES = (FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_BYTES)
_CHINESE_NAME = re.compile(r"中文[::]\s*\S")
# Numbers of the elements in descriptor.proto, of which the paths of comments are made.
_MESSAGE, _ENUM, _SERVICE, _EXTENSION = 4, 5, 6, 7
_FIELD, _NESTED, _NESTED_ENUM, _ONEOF, _VALUE, _METHOD = 2, 3, 4, 8, 2, 2


@dataclass(frozen=True, slots=True)
class Element:
    """One commentable element of the standard."""

    name: str
    kind: str
    comment: str
    field: FieldDescriptorProto | None = None


def test_every_element_has_a_comment() -> None:
    assert not [element.name for element in _elements() if not element.comment.strip()]


def test_every_message_enum_field_and_value_has_a_chinese_name() -> None:
    """Requests and responses are named after their RPC and need no name of their own."""
    named = {"enum", "field", "message", "value"}
    assert not [
        element.name
        for element in _elements()
        if element.kind in named
        and not element.name.endswith(("Request", "Response"))
        and not _CHINESE_NAME.search(element.comment)
    ]


def test_every_text_is_classified() -> None:
    """Redaction, logs and minimised hand-over follow the option; without it a text could leak."""
    texts = [element for element in _elements() if _is_text(element)]
    assert len(texts) > 50
    assert not [element.name for element in texts if _data_class(element) == 0]


def test_no_personal_text_is_in_a_package_for_other_eyes() -> None:
    """Names of persons travel in sealed blocks only."""
    personal = data_class_pb2.DATA_CLASS_PERSONAL
    assert not [
        element.name
        for element in _elements()
        if element.name.startswith(("hotline.federation.", "hotline.peer."))
        and _is_text(element)
        and _data_class(element) == personal
    ]


def test_a_stable_package_is_v1() -> None:
    stable = {"arbitration", "custody", "error", "federation", "peer", "routing", "ticket", "type"}
    versions = {file.package.split(".")[1]: file.package.split(".")[2] for file in _files()}
    assert {area for area, version in versions.items() if version == "v1"} == stable


def test_every_state_field_is_an_enum() -> None:
    """`state`, never `status`, which is gRPC's word."""
    fields = [(element.name, element.field) for element in _elements() if element.field]
    assert not [
        name
        for name, field in fields
        if name.endswith(".state") and field.type != FieldDescriptorProto.TYPE_ENUM
    ]
    allowed = ".google.rpc.Status"
    assert not [
        name
        for name, field in fields
        if name.rpartition(".")[2].endswith("status") and field.type_name != allowed
    ]


def _is_text(element: Element) -> bool:
    return element.field is not None and element.field.type in TEXT_TYPES


def _data_class(element: Element) -> int:
    assert element.field is not None
    # The descriptors were parsed before anybody knew the extension: parse the options again.
    options = descriptor_pb2.FieldOptions.FromString(element.field.options.SerializeToString())
    return int(options.Extensions[data_class_pb2.data_class])


def _files() -> list[descriptor_pb2.FileDescriptorProto]:
    image = generate.read_image(generate.sources())
    found = [file for file in image.file if file.package.startswith("hotline.")]
    assert found
    return found


@cache
def _elements() -> tuple[Element, ...]:
    return tuple(element for file in _files() for element in _of_file(file))


def _of_file(file: descriptor_pb2.FileDescriptorProto) -> Iterator[Element]:
    comments = {tuple(at.path): at.leading_comments for at in file.source_code_info.location}
    for index, message in enumerate(file.message_type):
        yield from _of_message(message, file.package, (_MESSAGE, index), comments)
    for index, enum in enumerate(file.enum_type):
        yield from _of_enum(enum, file.package, (_ENUM, index), comments)
    for index, field in enumerate(file.extension):
        comment = comments.get((_EXTENSION, index), "")
        yield Element(f"{file.package}.{field.name}", "extension", comment)
    for index, service in enumerate(file.service):
        name = f"{file.package}.{service.name}"
        yield Element(name, "service", comments.get((_SERVICE, index), ""))
        for number, method in enumerate(service.method):
            comment = comments.get((_SERVICE, index, _METHOD, number), "")
            yield Element(f"{name}.{method.name}", "method", comment)


def _of_message(
    message: descriptor_pb2.DescriptorProto,
    outer: str,
    path: tuple[int, ...],
    comments: dict[tuple[int, ...], str],
) -> Iterator[Element]:
    if message.options.map_entry:
        return
    name = f"{outer}.{message.name}"
    yield Element(name, "message", comments.get(path, ""))
    for index, field in enumerate(message.field):
        comment = comments.get((*path, _FIELD, index), "")
        yield Element(f"{name}.{field.name}", "field", comment, field)
    for index, oneof in enumerate(message.oneof_decl):
        yield Element(f"{name}.{oneof.name}", "oneof", comments.get((*path, _ONEOF, index), ""))
    for index, enum in enumerate(message.enum_type):
        yield from _of_enum(enum, name, (*path, _NESTED_ENUM, index), comments)
    for index, nested in enumerate(message.nested_type):
        yield from _of_message(nested, name, (*path, _NESTED, index), comments)


def _of_enum(
    enum: descriptor_pb2.EnumDescriptorProto,
    outer: str,
    path: tuple[int, ...],
    comments: dict[tuple[int, ...], str],
) -> Iterator[Element]:
    yield Element(f"{outer}.{enum.name}", "enum", comments.get(path, ""))
    for index, value in enumerate(enum.value):
        comment = comments.get((*path, _VALUE, index), "")
        yield Element(f"{outer}.{enum.name}.{value.name}", "value", comment)
