"""Values of the national map, and the policy of what the hub takes."""

from __future__ import annotations

from dataclasses import dataclass

DAYS_MAX = 400  # a year and a bit; longer ranges are for exports
MICRO = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HubPolicy:
    """What the hub takes; a report that declares a greater loss is refused.

    Attributes:
        epsilon_micro_max: the most that one report may spend, in millionths of ε.
    """

    epsilon_micro_max: int = MICRO


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedReport:
    """A report as the warehouse stores it; a count of None was withheld."""

    txid: int
    position: int
    province: str
    day: int
    sequence: int
    threshold: int
    variance: float
    cells: tuple[tuple[str, int | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLine:
    """One province × matter over a range of days."""

    province: str
    matter: str
    count: int
    shown_days: int
    suppressed_days: int
    error_bar: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NationalMap:
    """The answer to a query: the lines, and which days each province reported."""

    first_day: int
    last_day: int
    lines: tuple[MapLine, ...]
    days: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the stored reports have been loaded."""

    txid: int
    position: int


BEGINNING = Cursor(-1, -1)
EMPTY = NationalMap(first_day=0, last_day=0, lines=(), days=())
