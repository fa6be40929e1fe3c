"""Which regions, and which matters, the responsibility list and the units cannot tell apart.

Regions are alike when the same kinds of unit of the same authorities and the same entries of the
list lie on the way up from them; matters when the catalogue names the same kinds of lead, and the
list has the same entries, on the way up.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.checking.space import Land
from gateway.reference.matters import matter_path


class Likenesses:
    """Sorts regions and matters by what the list may answer."""

    def __init__(self, land: Land) -> None:
        """Note units and entries by place and by matter."""
        self._land = land
        self._units: dict[str, list[tuple[str, str, int]]] = {}
        for unit in land.reference.units:
            if not unit.is_desk:
                key = (unit.authority, unit.kind, unit.number)
                self._units.setdefault(unit.region, []).append(key)
        entries = list(land.reference.responsibility)
        self._places = {entry.region for entry in entries}
        self._listed = {entry.matter for entry in entries}
        self._seen: dict[str, object] = {}

    def regions(self, codes: Iterable[str]) -> list[str]:
        """Return one region of each kind, in their order."""
        found: dict[object, str] = {}
        for code in codes:
            likeness = self._seen.get(code)
            if likeness is None:
                likeness = self._seen[code] = self._place(code)
            found.setdefault(likeness, code)
        return list(found.values())

    def matters(self, codes: Iterable[str]) -> list[str]:
        """Return one matter of each kind, in their order."""
        found: dict[object, str] = {}
        for code in codes:
            found.setdefault(self._matter(code), code)
        return list(found.values())

    def _place(self, code: str) -> object:
        if code not in self._land.regions:
            return code
        path = self._land.regions.path(code)
        return (
            tuple(tuple(self._units.get(place, ())) for place in path),
            tuple(place for place in path if place in self._places),
        )

    def _matter(self, code: str) -> object:
        matters = self._land.reference.matters
        path = matter_path(code)
        leads = tuple(found.lead_kind for each in path if (found := matters.find(each)))
        return leads, tuple(each for each in path if each in self._listed)
