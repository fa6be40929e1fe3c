"""Who takes part in a demonstration: nodes, platforms, dispatchers. Data, read from a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

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
        """Every authority whose tickets live here."""
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
    has_samples: bool
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """Everybody who takes part."""

    nodes: tuple[NodePlan, ...]
    platforms: tuple[PlatformPlan, ...]
    dispatchers: tuple[str, ...]
    names: Mapping[str, str]

    def node_of(self, authority: str) -> NodePlan:
        """Return the node where an authority lives."""
        for node in self.nodes:
            if authority in node.authorities:
                return node
        raise KeyError(authority)

    @property
    def authorities(self) -> tuple[str, ...]:
        """Every authority that can hold a ticket."""
        return tuple(code for node in self.nodes if node.is_custodian for code in node.authorities)


def load_topology(path: Path = TOPOLOGY) -> Topology:
    """Return the topology of a file."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
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
            PlatformPlan(
                id=str(platform["id"]),
                authority=str(platform["authority"]),
                has_samples=bool(platform.get("samples")),
                regions=tuple(map(str, platform.get("regions", ()))),
            )
            for platform in raw["platforms"]
        ),
        dispatchers=tuple(map(str, raw.get("dispatchers", ()))),
        names={str(code): str(name) for code, name in raw.get("names", {}).items()},
    )
