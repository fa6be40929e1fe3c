"""Generate code from the standard: `python proto/generate.py [--check | --image FILE]`.

From every `proto/hotline/**/*.proto` it writes, beside the source, the message modules
(`*_pb2.py`), their stubs (`*_pb2.pyi`) and, where a file has a service, the gRPC modules with
stubs (`*_pb2_grpc.py`, `*_pb2_grpc.pyi`); further `gateway/kernel/codes.py`, plain twins of every
enum, so that pure files speak in codes without protobuf.

Nothing is fetched. Imported schemas (Google's well-known types, `google/api`, `google/rpc` and
`buf/validate`) are taken as descriptors out of the installed packages. No installed package offers
`buf.validate.validate_pb2` for import, so it is generated too, as the namespace package `buf`.

The output depends on the sources and the locked tools only; `--check` lists the files that differ
from it, are missing or are left over, and exits with 1. `--image` writes the descriptors with
comments and imports, which `buf lint` and the tests of the standard read.
"""

from __future__ import annotations

import argparse
import importlib
import keyword
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor

PROTO = Path(__file__).resolve().parent
ROOT = PROTO.parent
CODES = "gateway/kernel/codes.py"
VALIDATE = "buf/validate/validate.proto"
GENERATED_SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")
# Modules whose registered descriptors the standard may import.
IMPORTABLE = (
    "google.protobuf.any_pb2",
    "google.protobuf.descriptor_pb2",
    "google.protobuf.duration_pb2",
    "google.protobuf.empty_pb2",
    "google.protobuf.field_mask_pb2",
    "google.protobuf.struct_pb2",
    "google.protobuf.timestamp_pb2",
    "google.protobuf.wrappers_pb2",
    "google.api.field_behavior_pb2",
    "google.rpc.code_pb2",
    "google.rpc.error_details_pb2",
    "google.rpc.status_pb2",
)
LINE_LENGTH_MAX = 100  # the project's line length; docstrings are wrapped to it
SUMMARY_LENGTH_MAX = LINE_LENGTH_MAX - 8  # indent, three quotes and a full stop go on the line too
CODES_HEAD = '''"""The code tables of the standard as plain Python, for files that know no protobuf.

Made from the enums of `proto/hotline` by `proto/generate.py`; do not edit. A code is its wire
number (`Channel.PHONE == 1`), `zh` its Chinese name. A nested enum carries the name of its
message: `Ticket.State` is `TicketState`.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Self


class Code(IntEnum):
    """A value of a code table: the number that travels, and its Chinese name."""

    zh: str

    def __new__(cls, number: int, zh: str = "") -> Self:
        """Make a member; `Channel(1)` looks one up, which needs no name."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.zh = zh
        return code
'''
_CHINESE = re.compile(r"中文[::]\s*(?P<name>.*?)\s*$", re.MULTILINE)
_ENUM_FIELD, _VALUE_FIELD, _MESSAGE_FIELD, _NESTED_ENUM, _NESTED_MESSAGE = 5, 2, 4, 4, 3


class GenerationFailedError(Exception):
    """The sources cannot be turned into code; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class EnumValue:
    """One value of a code table: name without prefix, wire number, Chinese name."""

    name: str
    number: int
    chinese: str


@dataclass(frozen=True, slots=True)
class EnumTable:
    """One enum of the standard as `codes.py` shows it."""

    name: str
    full_name: str
    comment: str
    values: tuple[EnumValue, ...]


def generate(sources: Sequence[str]) -> dict[str, bytes]:
    """Return every generated file by its path below the repository."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        run_protoc(
            sources,
            out,
            f"--plugin=protoc-gen-mypy={_tool('protoc-gen-mypy')}",
            f"--plugin=protoc-gen-mypy_grpc={_tool('protoc-gen-mypy_grpc')}",
            f"--python_out={out}",
            f"--grpc_python_out={out}",
            f"--mypy_out=quiet:{out}",
            f"--mypy_grpc_out=quiet:{out}",
        )
        # protoc writes empty gRPC modules for files without a service.
        image = read_image(sources)
        served = {_stem(file.name) for file in image.file if file.service}
        files = {
            f"proto/{path.relative_to(out).as_posix()}": path.read_bytes()
            for path in sorted(out.rglob("*.py*"))
            if "_pb2_grpc" not in path.name
            or path.relative_to(out).as_posix().partition("_pb2_grpc")[0] in served
        }
    files |= _package_files(sources)
    files[CODES] = _formatted(render_codes(tables(image))).encode()
    return files


def sources() -> list[str]:
    """Return every file of the standard, as imports name it."""
    found = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.glob("hotline/**/*.proto"))
    if not found:
        raise GenerationFailedError("there is no .proto file below proto/hotline")
    return found


def read_image(sources: Sequence[str]) -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptors of the sources and of all they import, comments included."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "image.binpb"
        run_protoc(
            sources,
            Path(folder),
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={target}",
        )
        return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())


def run_protoc(sources: Sequence[str], folder: Path, *options: str) -> None:
    """Run protoc over `sources`, with imports resolved from the installed packages."""
    imports = folder / "imports.binpb"
    imports.write_bytes(_imports().SerializeToString(deterministic=True))
    # validate.proto is generated with the rest, unless only descriptors are asked for.
    extra = [VALIDATE] if any("python_out" in option for option in options) else []
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--proto_path={PROTO}",
        f"--descriptor_set_in={imports}",
        *options,
        *sources,
        *extra,
    ]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own list of arguments, no shell
    imports.unlink()
    if finished.returncode != 0:
        raise GenerationFailedError(f"protoc refused the sources:\n{finished.stderr}")


def _imports() -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptors of everything the standard may import, dependencies first."""
    found: dict[str, descriptor_pb2.FileDescriptorProto] = {}

    def add(file: FileDescriptor) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in found:
            found[file.name] = descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb)

    for module in IMPORTABLE:
        add(importlib.import_module(module).DESCRIPTOR)
    validate = importlib.import_module("protovalidate._gen.buf.validate.validate_pb")
    found[VALIDATE] = descriptor_pb2.FileDescriptorProto.FromString(
        validate._DESC.proto.to_binary()  # the package offers the schema nowhere else
    )
    # A private pool proves now, with a clear error, that the set is complete.
    pool = descriptor_pool.DescriptorPool()
    for file_pb in found.values():
        pool.Add(file_pb)
    pool.FindFileByName(VALIDATE)
    return descriptor_pb2.FileDescriptorSet(file=list(found.values()))


def tables(image: descriptor_pb2.FileDescriptorSet) -> tuple[EnumTable, ...]:
    """Return every enum of `hotline.*`, by name; two enums of one name are an error."""
    found: dict[str, EnumTable] = {}
    for file in image.file:
        if not file.package.startswith("hotline."):
            continue
        comments = {
            tuple(location.path): location.leading_comments
            for location in file.source_code_info.location
        }
        for table in _enums_of_file(file, comments):
            if (other := found.get(table.name)) is not None:
                raise GenerationFailedError(
                    f"{table.full_name} and {other.full_name} would both be codes.{table.name}; "
                    "rename one of them"
                )
            found[table.name] = table
    return tuple(found[name] for name in sorted(found))


def _enums_of_file(
    file: descriptor_pb2.FileDescriptorProto, comments: Mapping[tuple[int, ...], str]
) -> Iterator[EnumTable]:
    for index, enum in enumerate(file.enum_type):
        yield _table(enum, (file.package,), (_ENUM_FIELD, index), comments)
    for index, message in enumerate(file.message_type):
        path = (_MESSAGE_FIELD, index)
        yield from _enums_of_message(message, (file.package, message.name), path, comments)


def _enums_of_message(
    message: descriptor_pb2.DescriptorProto,
    outer: tuple[str, ...],
    path: tuple[int, ...],
    comments: Mapping[tuple[int, ...], str],
) -> Iterator[EnumTable]:
    for index, enum in enumerate(message.enum_type):
        yield _table(enum, outer, (*path, _NESTED_ENUM, index), comments)
    for index, nested in enumerate(message.nested_type):
        inner = (*path, _NESTED_MESSAGE, index)
        yield from _enums_of_message(nested, (*outer, nested.name), inner, comments)


def _table(
    enum: descriptor_pb2.EnumDescriptorProto,
    outer: tuple[str, ...],
    path: tuple[int, ...],
    comments: Mapping[tuple[int, ...], str],
) -> EnumTable:
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", enum.name).upper()
    values: list[EnumValue] = []
    for index, value in enumerate(enum.value):
        name = value.name.removeprefix(f"{prefix}_")
        if name == value.name or not name.isidentifier() or keyword.iskeyword(name):
            raise GenerationFailedError(
                f"{value.name} of {enum.name}: expected {prefix}_ and a name that is an identifier"
            )
        comment = comments.get((*path, _VALUE_FIELD, index), "")
        values.append(EnumValue(name, value.number, _chinese(comment, value.name)))
    comment = comments.get(path, "")
    _chinese(comment, enum.name)
    return EnumTable(
        name="".join((*outer[1:], enum.name)),
        full_name=".".join((*outer, enum.name)),
        comment=" ".join(_CHINESE.sub("", comment).split()),
        values=tuple(values),
    )


def _chinese(comment: str, name: str) -> str:
    found = _CHINESE.search(comment)
    if found is None or not found["name"]:
        raise GenerationFailedError(
            f"the comment of {name} has no Chinese name; add `中文: …` to it"
        )
    return found["name"].rstrip("。.")


def render_codes(found: Sequence[EnumTable]) -> str:
    """Return the text of `gateway/kernel/codes.py`, before formatting."""
    parts = [CODES_HEAD]
    for table in found:
        docstring = textwrap.indent(_docstring(table), "    ")
        values = "".join(f"    {v.name} = {v.number}, {_quoted(v.chinese)}\n" for v in table.values)
        parts.append(f"@unique\nclass {table.name}(Code):\n{docstring}\n\n{values}")
    return "\n\n".join(parts)


def _docstring(table: EnumTable) -> str:
    """Return the comment as a docstring: one sentence on the first line, then the rest."""
    first, stop, rest = table.comment.partition(". ")
    if len(first) > SUMMARY_LENGTH_MAX or not first:
        first, stop, rest = f"The codes of `{table.name}`", ".", table.comment
    paragraphs = [f'"""{first}{stop.strip()}', *textwrap.wrap(rest, LINE_LENGTH_MAX - 8)]
    if rest:
        paragraphs.insert(1, "")
    return "\n".join([*paragraphs, "", f"Enum `{table.full_name}`.", '"""'])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(ROOT / CODES), "-"]
    finished = subprocess.run(command, input=text, capture_output=True, text=True, check=False)  # noqa: S603 - our own list of arguments, no shell
    if finished.returncode != 0:
        raise GenerationFailedError(f"ruff cannot format {CODES}:\n{finished.stderr}")
    return finished.stdout


def _package_files(sources: Sequence[str]) -> dict[str, bytes]:
    """Return the package markers: `hotline` is a typed package like any other."""
    folders = {parent for source in sources for parent in Path(source).parents} - {Path()}
    markers = {
        f"proto/{folder.as_posix()}/__init__.py": (
            f'"""Generated code of `{".".join(folder.parts)}`; see proto/README.md."""\n'
        ).encode()
        for folder in sorted(folders)
    }
    return markers | {"proto/hotline/py.typed": b""}


def _tool(name: str) -> Path:
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise GenerationFailedError(
            f"{name} is not installed beside {sys.executable}; run `make dev`"
        )
    return path


def _stem(proto_name: str) -> str:
    return proto_name.removesuffix(".proto")


def _present() -> set[str]:
    """Return the generated files that lie in the tree, left-overs of removed sources included."""
    below = (PROTO / "hotline", PROTO / "buf")
    found = {
        path
        for folder in below
        for suffix in GENERATED_SUFFIXES
        for path in folder.rglob(f"*{suffix}")
    }
    return {path.relative_to(ROOT).as_posix() for path in found}


def _write(files: Mapping[str, bytes]) -> None:
    for name in sorted(_present() - files.keys()):
        (ROOT / name).unlink()
    for name, content in files.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def _stale(files: Mapping[str, bytes]) -> list[str]:
    lines = [f"{name}: left over, its source is gone" for name in _present() - files.keys()]
    for name, content in files.items():
        path = ROOT / name
        if not path.exists():
            lines.append(f"{name}: missing")
        elif path.read_bytes() != content:
            lines.append(f"{name}: differs from its source")
    return sorted(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Generate code from proto/hotline.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="change nothing, list stale files")
    choice.add_argument("--image", type=Path, help="write the descriptors with comments to a file")
    options = parser.parse_args(arguments)
    try:
        found = sources()
        if options.image:
            image = read_image(found)
            options.image.parent.mkdir(parents=True, exist_ok=True)
            options.image.write_bytes(image.SerializeToString(deterministic=True))
            return 0
        files = generate(found)
    except GenerationFailedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not options.check:
        _write(files)
        return 0
    if stale := _stale(files):
        sys.stderr.write("\n".join(["Run `make gen`; these files are stale:", *stale]) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
