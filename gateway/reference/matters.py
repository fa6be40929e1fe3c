"""The matter catalogue: what a complaint is about, in three levels of two digits each.

The catalogue gives each matter a default kind of leading body (`lead_kind`); who that is in a
place is for `responsibility.py`. Some kinds are not bodies: `ZD` says that the lead depends on
facts that the code does not hold (whose noise is it?), `FJ`/`ZC` that the way leads through a court
or an arbitration board, `JJD` that it is an emergency. Codes are stable; a code that is newer than
this catalogue is read as its nearest known ancestor, so no ticket is lost over it.
See docs/reference.md#matters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from enum import Enum
from functools import lru_cache

from gateway.kernel.values import dataclass
from gateway.reference.tables import Findings, Row

MATTER_COLUMNS = (
    "code",
    "name",
    "parent",
    "typical_responsible_bodies",
    "level",
    "co_bodies",
    "notes",
    "lead_kind",
)
KIND_COLUMNS = ("kind", "name", "management")
PATHS_MAX = 4096  # remembered: more than any catalogue has entries
_MATTER_CODE = re.compile(r"[0-9]{6}")
_KIND_CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)*")


class Management(Enum):
    """Who can give a kind of body orders; the value is the text of `org_kinds.csv`."""

    __hash__ = object.__hash__  # there is one of each; the library's is slower

    LOCAL_GOVERNMENT = "地方政府部门"
    VERTICAL = "国家/省垂直管理"  # an arbiter of the local government cannot bind it
    JUDICIAL = "司法/仲裁(告知途径)"
    DEFENCE = "军队/国防动员"
    PARTY = "党委机关"
    ASSOCIATION = "群团"
    UTILITY = "公用事业企业"
    TERRITORIAL = "属地政府/镇街"
    HOTLINE = "热线机构"
    BY_RULE = "规则判定"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of handling body."""

    code: str
    name: str
    management: Management


@dataclass(frozen=True, slots=True)
class Matter:
    """An entry of the catalogue. The flags are read from its notes."""

    code: str
    name: str
    parent: str | None
    level: int
    lead_kind: str
    typical_bodies: tuple[str, ...] = ()
    co_bodies: tuple[str, ...] = ()
    notes: str = ""

    @property
    def is_dispute_prone(self) -> bool:
        """Tell whether units often disagree about it (争议高发)."""
        return "争议高发" in self.notes

    @property
    def is_cross_province(self) -> bool:
        """Tell whether it often concerns two provinces (跨省)."""
        return "跨省" in self.notes

    @property
    def is_vertical(self) -> bool:
        """Tell whether a vertically managed national body leads (国家垂直)."""
        return "国家垂直" in self.notes

    @property
    def never_to_reported_party(self) -> bool:
        """Tell whether it must not go to the body complained of (不得转给被投诉人)."""
        return "不得转给被投诉人" in self.notes


class Matters:
    """The catalogue by code."""

    def __init__(self, matters: Iterable[Matter]) -> None:
        """Index the entries."""
        self._matters = {matter.code: matter for matter in matters}

    def __contains__(self, code: object) -> bool:
        """Tell whether the catalogue has the code."""
        return code in self._matters

    def __iter__(self) -> Iterator[Matter]:
        """Iterate over the entries in the catalogue's order."""
        return iter(self._matters.values())

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._matters)

    def find(self, code: str) -> Matter | None:
        """Return the entry of a code, or None when this catalogue does not have it."""
        return self._matters.get(code)

    def nearest(self, code: str) -> Matter | None:
        """Return the entry or its nearest known ancestor by the digits; None when there is none."""
        found = (self._matters.get(candidate) for candidate in matter_path(code))
        return next((matter for matter in found if matter is not None), None)

    def is_within(self, code: str, ancestor: str) -> bool:
        """Tell whether `code` is `ancestor` or below it, also for newer, unknown codes."""
        return ancestor in matter_path(code)


@lru_cache(maxsize=PATHS_MAX)
def matter_path(code: str) -> tuple[str, ...]:
    """Return the code and the codes above it, nearest first; empty when it is not six digits."""
    if not _MATTER_CODE.fullmatch(code):
        return ()
    return tuple(dict.fromkeys((code, code[:4] + "00", code[:2] + "0000")))


def parse_kinds(rows: Iterable[Row], findings: Findings) -> dict[str, Kind]:
    """Return the kinds of `org_kinds.csv` by code, noting rows that cannot be used."""
    managements = {management.value: management for management in Management}
    kinds: dict[str, Kind] = {}
    for row in rows:
        code, management = row["kind"], managements.get(row["management"])
        if not _KIND_CODE.fullmatch(code) or code in kinds or management is None:
            findings.note(
                location=row.location,
                problem=f"kind {code!r} with management {row['management']!r} is malformed "
                "or there twice",
                advice=f"Use capital letters, once, and one of {', '.join(managements)}",
            )
            continue
        kinds[code] = Kind(code, row["name"], management)
    return kinds


def parse_matters(rows: Iterable[Row], *, kinds: Collection[str], findings: Findings) -> Matters:
    """Return the catalogue of `matters.csv`, noting rows that cannot be used."""
    matters: dict[str, Matter] = {}
    for row in rows:
        code, path = row["code"], matter_path(row["code"])
        expected = path[1] if len(path) > 1 else ""
        level = str(len(path))
        if not path or code in matters or (row["parent"], row["level"]) != (expected, level):
            findings.note(
                location=row.location,
                problem=f"matter {code!r} below {row['parent']!r} on level {row['level']!r} does "
                "not fit its digits or is there twice",
                advice="Give six digits, the code above it, and level 1, 2 or 3",
            )
            continue
        if row["lead_kind"] not in kinds:
            findings.note(
                location=row.location,
                problem=f"matter {code}: lead kind {row['lead_kind']!r} is not known",
                advice="Use a kind of org_kinds.csv",
            )
            continue
        matters[code] = Matter(
            code=code,
            name=row["name"],
            parent=row["parent"] or None,
            level=len(path),
            lead_kind=row["lead_kind"],
            typical_bodies=_parts(row["typical_responsible_bodies"]),
            co_bodies=_parts(row["co_bodies"]),
            notes=row["notes"],
        )
    return Matters(matters.values())


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(";") if part)
