"""How the command speaks: Chinese first or English, tables or JSON, exit codes.

    0  done
    1  the answer is "no": refused, not found, a check failed
    2  usage: a wrong argument, file or configuration
    3  not reachable: the node, its database or a peer
    4  internal: a defect

Answers go to standard output, everything else to standard error, so that a pipe gets clean data.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from enum import Enum, IntEnum
from typing import Annotated

import typer
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.kernel.errors import GrpcCode, LubiaoError, ResourceExists, ResourceNotFound
from gateway.kernel.time import SHANGHAI, Instant

LANGUAGE_VARIABLE = "LUBIAO_LANG"
PLAIN_WIDTH = 160  # of a table that goes into a file or a pipe
LOCAL_KINDS = frozenset(
    {"file", "key file", "revocation list", "node folder", "certificate folder"}
)  # of resources that lie on this machine, not on a node
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # Unicode's: control, direction, line ends


class Language(Enum):
    """The language of messages."""

    ZH = "zh"
    EN = "en"


class Exit(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    NO = 1
    USAGE = 2
    NOT_REACHABLE = 3
    INTERNAL = 4


class _Speech:
    """The language of this process; set once, before the command runs."""

    language = Language.ZH


AsJson = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


def use_language(language: Language | None) -> None:
    """Speak `language`; None: that of LUBIAO_LANG, else Chinese."""
    wish = language.value if language is not None else os.environ.get(LANGUAGE_VARIABLE, "")
    _Speech.language = Language.EN if wish == Language.EN.value else Language.ZH


def pick(chinese: str, english: str) -> str:
    """Return the text in the present language."""
    return english if _Speech.language is Language.EN else chinese


def harmless(text: str, *, keep: str = "") -> str:
    """Return a stranger's text with what a terminal would obey written out, as in JSON."""
    return "".join(
        json.dumps(char)[1:-1]
        if unicodedata.category(char) in _OBEYED and char not in keep
        else char
        for char in text
    )


def say(chinese: str, english: str) -> None:
    """Tell a person something on standard error."""
    typer.echo(pick(chinese, english), err=True)


def print_line(text: str) -> None:
    """Print a line of the answer."""
    typer.echo(text)


def print_json(value: object) -> None:
    """Print the answer as JSON."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    typer.echo(harmless(text, keep="\n"))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the answer as a table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    table = Table(*columns, header_style="bold")
    for row in rows:
        table.add_row(
            *(Text(harmless(str(cell))) for cell in row)
        )  # markup in a citizen's words is text
    console.print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print the answer as `name: value` lines, without what is empty."""
    for name, value in fields.items():
        if value not in ("", None, (), []):
            typer.echo(f"{name}: {value}")


def beijing(moment: Timestamp | Instant) -> str:
    """Return an instant as people read it, in Beijing time, or nothing; `--json` has UTC."""
    if isinstance(moment, Timestamp):
        if moment == Timestamp():
            return ""
        moment = moment.ToDatetime(UTC)
    return moment.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S")


def exit_code_of(error: LubiaoError) -> Exit:
    """Return the exit code that an error means."""
    if _is_missing_file(error):
        return Exit.USAGE
    match error.code:
        case GrpcCode.UNAVAILABLE | GrpcCode.DEADLINE_EXCEEDED:
            return Exit.NOT_REACHABLE
        case GrpcCode.INVALID_ARGUMENT:
            return Exit.USAGE
        case GrpcCode.INTERNAL | GrpcCode.DATA_LOSS:
            return Exit.INTERNAL
        case _:
            return Exit.NO


def explain(error: LubiaoError) -> Exit:
    """Tell a person what went wrong and return the exit code."""
    name = error.metadata.get("name", "")
    if _is_missing_file(error):
        text = pick(f"没有文件 {name}。", f"There is no file {name}.")
    elif _is_local(error, ResourceExists):
        text = pick(f"{name} 已存在，不会覆盖。", f"{name} exists already and is not overwritten.")
    else:
        text = pick(error.chinese_text(), error.english.format(**error.metadata))
    if error.hint:
        text += pick(f"（{error.hint}）", f" Hint: {error.hint}")
    typer.echo(f"{text} [{error.reason}]", err=True)
    return exit_code_of(error)


def _is_missing_file(error: LubiaoError) -> bool:
    return _is_local(error, ResourceNotFound)


def _is_local(error: LubiaoError, kind: type[LubiaoError]) -> bool:
    return isinstance(error, kind) and error.metadata.get("kind") in LOCAL_KINDS


def errors_in(error: BaseException) -> Iterator[LubiaoError]:
    """Yield the typed errors in an error, which may be a group of a TaskGroup."""
    if isinstance(error, LubiaoError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from errors_in(each)
