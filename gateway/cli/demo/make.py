"""Making the folder of a demonstration: CAs, certificates, a roster marked `demo`, nodes, adapters.

The same steps as an operator takes by hand with `lubiao ca`, `lubiao init` and `lubiao roster`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, timedelta
from io import StringIO
from pathlib import Path

import yaml

from gateway.cli import roster
from gateway.cli.ca import write_folder
from gateway.cli.demo.federation import Federation
from gateway.cli.demo.layout import Layout
from gateway.cli.demo.lists import Programme
from gateway.cli.demo.processes import free_ports
from gateway.cli.demo.topology import ClockPlan, NodePlan, PlatformPlan, Topology
from gateway.cli.node import PUBLIC_FILE, init
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant, SystemClock
from gateway.settings import NODE_FILE
from gateway.trust.certificates import CertificateAuthority
from gateway.trust.principal import Role
from gateway.trust.revocation import FEDERATION

ROSTER_FILE = "roster.binpb"  # in a node's folder
TRACES_FILE = "traces.jsonl"  # in a node's folder
DELAYS = {"sign": 0.5, "contact": 0.5, "done": 1.0, "rating": 0.5}  # seconds; people take days
PERSON_DELAY = 1.0
SCAN_SECONDS = 0.2
DISPATCHER, PANEL = "dispatcher", "panel"  # kinds of people; the names of their files
OBSERVER_ROLES = frozenset({Role.SUPERVISOR, Role.RULE_EDITOR})  # the latter to read proposals
NATIONAL_ROLES = frozenset({Role.PANEL_MEMBER, Role.HUB_ANALYST})
PANEL_ROLES = frozenset({Role.PANEL_MEMBER})
DISPATCHER_ROLES = frozenset({Role.DISPATCHER, Role.CLERK})
STEWARDS = {  # by duty, which is the name of the person's file
    "editor": frozenset({Role.RULE_EDITOR}),
    "approver": frozenset({Role.RULE_APPROVER}),
}


def make(topology: Topology, folder: Path, programme: Programme | None = None) -> Federation:
    """Write everything below `folder` and return the federation, not yet started."""
    layout = Layout(folder)
    now = SystemClock().now()
    ports = free_ports(len(topology.nodes))
    endpoints = {
        node.name: f"127.0.0.1:{port}" for node, port in zip(topology.nodes, ports, strict=True)
    }
    root = CertificateAuthority.create(layout.root_ca, FEDERATION, now=now)
    for authority in (NATION, *topology.authorities):
        own = CertificateAuthority.create(layout.ca(authority), authority, now=now)
        roles = NATIONAL_ROLES if authority == NATION else OBSERVER_ROLES
        observer = own.issue_staff("observer", roles, now=now)
        write_folder(observer, layout.staff(authority), root=root.certificate)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # hints for an operator
        _make_nodes(topology, layout, endpoints, now=now)
    for platform in topology.platforms:
        node = topology.node_of(platform.authority)
        _make_adapter(layout, platform, endpoints[node.name], programme or Programme(), now)
    people = _People(layout, endpoints, topology, now)
    for authority in topology.dispatchers:
        people.write(DISPATCHER, authority, DISPATCHER_ROLES, layout.dispatcher(authority))
    for authority in topology.panels:
        people.write(PANEL, authority, PANEL_ROLES, layout.panel(authority))
    for platform in topology.platforms:
        if platform.id in topology.speakers:
            people.speak(platform)
    for authority in topology.stewards:
        again = people.writing_again(programme or Programme(), authority)
        for duty, roles in STEWARDS.items():
            people.write(duty, authority, roles, layout.steward(authority, duty), extra=again)
    return Federation(topology=topology, layout=layout, endpoints=endpoints)


def _make_nodes(
    topology: Topology, layout: Layout, endpoints: Mapping[str, str], *, now: Instant
) -> None:
    """Make the nodes' folders and give each the signed roster."""
    roster.keygen(layout.roster)
    directory = next((node for node in topology.nodes if "directory" in node.roles), None)
    for node in topology.nodes:
        knows_directory = directory is not None and directory != node
        init(
            directory=layout.node(node.name),
            authority=node.authority,
            endpoint=endpoints[node.name],
            roles=",".join(node.roles),
            hosts=",".join(node.authorities) if _signs(node) else "",
            node=node.name,
            bind=endpoints[node.name],
            ca=layout.root_ca,
            trust=[layout.ca(code) for code in node.authorities],
            roster_key=layout.roster / roster.PUBLIC,
            directory_node=f"{directory.name}@{endpoints[directory.name]}"
            if directory is not None and knows_directory
            else "",
            demo=True,
        )
        settings = layout.node(node.name) / NODE_FILE
        _append(settings, ("[tracing]", f'file = "{TRACES_FILE}"'))
        if topology.clock is not None:
            _append(settings, _clock_lines(topology.clock, now=now))
    description = layout.roster / "description.yaml"
    write_yaml(description, describe(topology, layout, endpoints))
    signed = layout.roster / ROSTER_FILE
    roster.sign(description, key=layout.roster / roster.PRIVATE, out=signed)
    for node in topology.nodes:
        shutil.copyfile(signed, layout.node(node.name) / ROSTER_FILE)


def _signs(node: NodePlan) -> bool:
    """Tell whether a node has keys of an authority: a mere directory signs no statement."""
    return set(node.roles) != {"directory"}


def _clock_lines(clock: ClockPlan, *, now: Instant) -> tuple[str, ...]:
    """Return the business time that all nodes share, also after a restart."""
    anchor = now + timedelta(seconds=clock.up_seconds)
    return (
        "[clock]",
        f"start = {clock.start.astimezone(UTC).isoformat()}",
        f"anchor = {anchor.astimezone(UTC).isoformat()}",
        f"rate = {clock.rate}",
    )


def _append(path: Path, lines: Sequence[str]) -> None:
    """Add a table to a node's settings."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\n".join(("", *lines, "")))


def describe(topology: Topology, layout: Layout, endpoints: Mapping[str, str]) -> dict[str, object]:
    """Return the roster as `lubiao roster sign` reads it; `endpoints`: where nodes are dialled."""

    def place(node: NodePlan) -> dict[str, object]:
        public = str((layout.node(node.name) / PUBLIC_FILE).resolve())
        return {"node": node.name, "public": public}

    authorities: list[dict[str, object]] = [
        {"code": code, "name": topology.names.get(code, code), **place(node)}
        for node in topology.nodes
        if node.is_custodian
        for code in node.authorities
    ]
    national = [node for node in topology.national if _signs(node)]
    if national:
        first, *further = national
        authorities.append(
            {
                "code": NATION,
                "name": topology.names.get(NATION, NATION),
                **place(first),
                "further": [place(node) for node in further],
            }
        )
    return {
        "version": 1,
        "demo": True,
        "nodes": [
            {"id": node.name, "endpoint": endpoints[node.name], "roles": list(node.roles)}
            for node in topology.nodes
        ],
        "authorities": authorities,
    }


def _make_adapter(
    layout: Layout, platform: PlatformPlan, endpoint: str, programme: Programme, now: Instant
) -> None:
    folder = layout.adapter(platform.id)
    folder.mkdir(mode=0o700, parents=True)
    root = CertificateAuthority.load(layout.root_ca)
    own = CertificateAuthority.load(layout.ca(platform.authority))
    issued = own.issue_platform(platform.id, now=now)
    write_folder(issued, folder / "certificates", root=root.certificate)
    write_yaml(
        folder / "adapter.yaml",
        {
            "platform": platform.id,
            "authority": platform.authority,
            "endpoint": endpoint,
            "certificates": "certificates",
            "mapping": "simulated",
            "settle": SCAN_SECONDS,
            "scan_interval": SCAN_SECONDS,
        },
    )
    samples = [
        case.external_id
        for case in programme.cases
        if case.platform == platform.id and not case.after_rule
    ]
    write_yaml(
        folder / "simulated.yaml",
        {
            "platform": platform.id,
            "samples": samples,
            "variations": {key: programme.shares.get(key, 0) for key in samples},
            "delays": DELAYS,
        },
    )


@dataclass(frozen=True, slots=True)
class _People:
    """Writes the folders of people: each its certificate and the node that it works with."""

    layout: Layout
    endpoints: Mapping[str, str]
    topology: Topology
    now: Instant

    def write(
        self,
        kind: str,
        authority: str,
        roles: frozenset[Role],
        folder: Path,
        *,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        """Write the folder of the people of one kind at an authority."""
        topology = self.topology
        node = topology.arbiter_of(authority) if kind == PANEL else topology.node_of(authority)
        folder.mkdir(mode=0o700, parents=True)
        root = CertificateAuthority.load(self.layout.root_ca)
        own = CertificateAuthority.load(self.layout.ca(authority))
        issued = own.issue_staff(kind, roles, now=self.now)
        write_folder(issued, folder / "certificates", root=root.certificate)
        self._settings(folder / f"{kind}.yaml", authority, node, extra=extra or {})

    def speak(self, platform: PlatformPlan) -> None:
        """Write the folder of those who speak for a platform's units, with its certificate."""
        folder = self.layout.units(platform.id)
        folder.mkdir(mode=0o700, parents=True)
        own = self.layout.adapter(platform.id) / "certificates"
        self._settings(
            folder / "units.yaml",
            platform.authority,
            self.topology.node_of(platform.authority),
            extra={"certificates": str(own.resolve())},
        )

    def writing_again(self, programme: Programme, authority: str) -> dict[str, object]:
        """Return which messages follow when a proposed rule is in force, and where they go."""
        later = [
            case
            for case in programme.cases
            if case.after_rule and case.platform.startswith(authority)
        ]
        if not later:
            return {}
        platform = later[0].platform
        return {
            "platform": platform,
            "inbox": str((self.layout.adapter(platform) / "inbox").resolve()),
            "samples": [case.external_id for case in later],
        }

    def _settings(
        self, path: Path, authority: str, node: NodePlan, *, extra: Mapping[str, object]
    ) -> None:
        body = {
            "authority": authority,
            "endpoint": self.endpoints[node.name],
            "certificates": "certificates",
            "delay": PERSON_DELAY,
        }
        write_yaml(path, body | dict(extra))


def write_yaml(path: Path, body: Mapping[str, object]) -> None:
    """Write a file that a person may read and change."""
    path.write_text(yaml.safe_dump(dict(body), allow_unicode=True), encoding="utf-8")
