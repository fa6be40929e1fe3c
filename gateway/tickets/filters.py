"""The filter of ListTickets: the part of AIP-160 that indexed, non-personal fields allow.

    filter     = [ comparison *( "AND" comparison ) ]
    comparison = field "=" value
    value      = quoted text | word

Anything else is `FilterInvalid` with the place and what would be right (docs/standard.md#filter).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from gateway.kernel.codes import TicketState, Urgency
from gateway.kernel.errors import FilterInvalid
from gateway.kernel.values import dataclass, replace

COMPARISON_TOKENS = 3  # field = value
_TOKEN = re.compile(r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<equals>=)|(?P<word>[^\s="]+))')


@dataclass(frozen=True, slots=True)
class TicketFilter:
    """What a list is narrowed to; None: anything."""

    state: int | None = None
    matter: str | None = None
    urgency: int | None = None
    followed: bool | None = None
    external_id: str | None = None
    in_case: bool | None = None
    overdue: bool | None = None
    unit: str | None = None


def parse_filter(text: str) -> TicketFilter:
    """Return the filter of its text.

    Raises:
        FilterInvalid: it does not parse, or names an unknown or personal field.
    """
    tokens = _tokens(text)
    found = TicketFilter()
    position = 0
    while position < len(tokens):
        if position and tokens[position] != "AND":
            raise FilterInvalid(got=tokens[position], expected="AND")
        position += 1 if position else 0
        part = tokens[position : position + COMPARISON_TOKENS]
        if len(part) < COMPARISON_TOKENS or part[1] != "=":
            raise FilterInvalid(got=" ".join(part) or "the end", expected="field = value")
        found = _narrowed(found, part[0], part[2])
        position += COMPARISON_TOKENS
    return found


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise FilterInvalid(got=text[position : position + 20], expected="field = value")
        quoted = match["text"]
        tokens.append(_unquoted(quoted) if quoted else match["equals"] or match["word"])
        position = match.end()
    return tokens


def _unquoted(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1])


def _narrowed(found: TicketFilter, field: str, value: str) -> TicketFilter:
    reader = _READERS.get(field)
    if reader is None:
        raise FilterInvalid(got=field, expected=f"one of {', '.join(_READERS)}")
    if getattr(found, field) is not None:
        raise FilterInvalid(got=f"{field} twice", expected="each field once")
    changes: dict[str, int | bool | str] = {field: reader(field, value)}
    return replace(found, **changes)  # type: ignore[arg-type] # each reader gives its field's type


def _flag(field: str, value: str) -> bool:
    if value not in {"true", "false"}:
        raise FilterInvalid(got=f"{field} = {value}", expected="true or false")
    return value == "true"


def _text(field: str, value: str) -> str:  # noqa: ARG001 every reader has the same shape
    return value


def _named(numbers: Mapping[str, int]) -> Callable[[str, str], int]:
    def read(field: str, value: str) -> int:
        name = value.removeprefix(f"{field.upper()}_")
        if name not in numbers:
            raise FilterInvalid(got=f"{field} = {value}", expected=f"one of {', '.join(numbers)}")
        return numbers[name]

    return read


_READERS: dict[str, Callable[[str, str], int | bool | str]] = {
    "state": _named({code.name: int(code) for code in TicketState if code}),
    "matter": _text,
    "urgency": _named({code.name: int(code) for code in Urgency if code}),
    "followed": _flag,
    "external_id": _text,
    "in_case": _flag,
    "overdue": _flag,
    "unit": _text,
}
