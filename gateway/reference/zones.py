"""Functional zones without a code of their own (高新区, 工业园区): which district hosts each.

A place may name a zone instead of a district. The host answers for it, as far as the rest of the
place does not say otherwise: a place whose region is empty or contains the host lies in the host, a
place in another district stays there. See docs/reference.md#zones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.kernel.values import dataclass
from gateway.reference.regions import Regions
from gateway.reference.tables import Findings, Row

COLUMNS = ("zone", "name", "host", "note")
ZONE_LENGTH_MAX = 40  # bound of the standard


@dataclass(frozen=True, slots=True)
class Zone:
    """One zone with the region that hosts it."""

    zone_id: str
    name: str
    host: str
    note: str = ""


class Zones:
    """All zones by id."""

    def __init__(self, zones: Iterable[Zone] = ()) -> None:
        """Keep the zones."""
        self._zones = {zone.zone_id: zone for zone in zones}

    def __iter__(self) -> Iterator[Zone]:
        """Iterate over the zones in the order of the file."""
        return iter(self._zones.values())

    def __contains__(self, zone_id: object) -> bool:
        """Tell whether there is a zone of that id."""
        return zone_id in self._zones

    def find(self, zone_id: str) -> Zone | None:
        """Return a zone, or None."""
        return self._zones.get(zone_id)

    def locate(self, zone_id: str, region: str, *, regions: Regions) -> str:
        """Return the region of a place with this zone: the host's, or `region` as it was."""
        zone = self._zones.get(zone_id)
        if zone is None or regions.current(zone.host) is None:
            return region
        return zone.host if not region or regions.is_within(zone.host, region) else region


def parse_zones(rows: Iterable[Row], findings: Findings) -> Zones:
    """Return the zones of `zones.csv`, noting what is wrong."""
    zones: dict[str, Zone] = {}
    for row in rows:
        zone = Zone(row["zone"], row["name"], row["host"], row["note"])
        if not zone.zone_id or len(zone.zone_id) > ZONE_LENGTH_MAX or not zone.name:
            findings.note(
                location=row.location,
                problem="zone or name is empty or too long",
                advice=f"Give an id of at most {ZONE_LENGTH_MAX} characters, and a name",
            )
        elif zone.zone_id in zones:
            findings.note(
                location=row.location,
                problem=f"zone {zone.zone_id} is there twice",
                advice="Give every zone an id of its own",
            )
        else:
            zones[zone.zone_id] = zone
    return Zones(zones.values())
