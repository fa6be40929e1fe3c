"""Who takes part in a demonstration: nodes, platforms, people. Data, read from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import yaml

from gateway.kernel.errors import FieldInvalid
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant

TOPOLOGY = Path(__file__).with_name("topology.yaml")


@dataclass(frozen=True, slots=True)
class NodePlan:
    """One node: its name, its own authority, the cities it hosts, its roles."""

    name: str
    authority: str
    hosts: tuple[str, ...]
    roles: tuple[str, ...]

    @property
    def authorities(self) -> tuple[str, ...]:
        """Every authority that lives here: with tickets, or as the nation's hub or arbiter."""
        return (self.authority, *self.hosts)

    @property
    def is_custodian(self) -> bool:
        """Whether it holds tickets."""
        return "custodian" in self.roles


@dataclass(frozen=True, slots=True)
class PlatformPlan:
    """One simulated city platform with its adapter."""

    id: str
    authority: str


@dataclass(frozen=True, slots=True)
class ClockPlan:
    """Business time: `start` when the nodes should be up, `rate` times as fast."""

    start: Instant
    rate: float
    up_seconds: float


@dataclass(frozen=True, slots=True)
class Topology:
    """Everybody who takes part."""

    nodes: tuple[NodePlan, ...]
    platforms: tuple[PlatformPlan, ...]
    dispatchers: tuple[str, ...]
    panels: tuple[str, ...]  # authorities; the nation's sits at its node of the role arbiter
    names: Mapping[str, str]
    clock: ClockPlan | None = None
    stewards: tuple[str, ...] = ()  # authorities with rule staff
    speakers: tuple[str, ...] = ()  # platforms whose units speak before a panel

    def node_of(self, authority: str) -> NodePlan:
        """Return the node where the tickets of an authority live."""
        for node in self.nodes:
            if node.is_custodian and authority in node.authorities:
                return node
        raise KeyError(authority)

    def arbiter_of(self, authority: str) -> NodePlan:
        """Return the node where an authority rules on disputes."""
        if authority != NATION:
            return self.node_of(authority)
        return next(node for node in self.nodes if "arbiter" in node.roles)

    @property
    def authorities(self) -> tuple[str, ...]:
        """Every authority that can hold a ticket."""
        return tuple(code for node in self.nodes if node.is_custodian for code in node.authorities)

    @property
    def national(self) -> tuple[NodePlan, ...]:
        """The nodes of the nation, the directory first."""
        found = [node for node in self.nodes if node.authority == NATION]
        return tuple(sorted(found, key=lambda node: "directory" not in node.roles))

    def only(self, provinces: Collection[str]) -> Topology:
        """Return the same world with these provinces and the nation only.

        Raises:
            FieldInvalid: a code is no province of the demonstration.
        """
        known = {node.authority for node in self.nodes if node.is_custodian}
        unknown = sorted(set(provinces) - known)
        if unknown:
            raise FieldInvalid(
                field="--authorities", got=", ".join(unknown), expected=", ".join(sorted(known))
            )
        nodes = tuple(
            node for node in self.nodes if not node.is_custodian or node.authority in provinces
        )
        kept = {code for node in nodes if node.is_custodian for code in node.authorities}
        return replace(
            self,
            nodes=nodes,
            platforms=tuple(each for each in self.platforms if each.authority in kept),
            dispatchers=tuple(code for code in self.dispatchers if code in kept),
            panels=tuple(code for code in self.panels if code in {NATION, *kept}),
            stewards=tuple(code for code in self.stewards if code in kept),
            speakers=tuple(
                each.id
                for each in self.platforms
                if each.id in self.speakers and each.authority in kept
            ),
        )


def load_topology(path: Path = TOPOLOGY) -> Topology:
    """Return the topology of a file."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    clock = raw.get("clock")
    return Topology(
        nodes=tuple(
            NodePlan(
                name=str(node["name"]),
                authority=str(node["authority"]),
                hosts=tuple(map(str, node.get("hosts", ()))),
                roles=tuple(map(str, node["roles"])),
            )
            for node in raw["nodes"]
        ),
        platforms=tuple(
            PlatformPlan(id=str(platform["id"]), authority=str(platform["authority"]))
            for platform in raw["platforms"]
        ),
        dispatchers=tuple(map(str, raw.get("dispatchers", ()))),
        panels=tuple(map(str, raw.get("panels", ()))),
        stewards=tuple(map(str, raw.get("stewards", ()))),
        speakers=tuple(map(str, raw.get("speakers", ()))),
        names={str(code): str(name) for code, name in raw.get("names", {}).items()},
        clock=ClockPlan(
            start=datetime.fromisoformat(clock["start"]).astimezone(UTC),
            rate=float(clock["rate"]),
            up_seconds=float(clock["up_seconds"]),
        )
        if clock
        else None,
    )
