"""Making the folder of a demonstration: CAs, certificates, a roster marked `demo`, nodes, adapters.

The same steps as an operator takes by hand with `lubiao ca`, `lubiao init` and `lubiao roster`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
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
OBSERVER_ROLES = frozenset({Role.SUPERVISOR})
NATIONAL_ROLES = frozenset({Role.PANEL_MEMBER, Role.HUB_ANALYST})
PANEL_ROLES = frozenset({Role.PANEL_MEMBER})
DISPATCHER_ROLES = frozenset({Role.DISPATCHER, Role.CLERK})


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
    for authority in topology.dispatchers:
        _make_person(
            layout,
            layout.dispatcher(authority),
            authority=authority,
            endpoint=endpoints[topology.node_of(authority).name],
            now=now,
        )
    for name in topology.panels:
        _make_person(
            layout,
            layout.panel(name),
            authority=topology.node_named(name).authority,
            endpoint=endpoints[name],
            now=now,
        )
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
    samples = [case.external_id for case in programme.cases if case.platform == platform.id]
    write_yaml(
        folder / "simulated.yaml",
        {
            "platform": platform.id,
            "samples": samples,
            "variations": {key: programme.shares.get(key, 0) for key in samples},
            "delays": DELAYS,
        },
    )


def _make_person(
    layout: Layout, folder: Path, *, authority: str, endpoint: str, now: Instant
) -> None:
    """Write the folder of a dispatcher, or of the nation's panel member."""
    is_panel = authority == NATION
    folder.mkdir(mode=0o700, parents=True)
    root = CertificateAuthority.load(layout.root_ca)
    own = CertificateAuthority.load(layout.ca(authority))
    name, roles = ("panel", PANEL_ROLES) if is_panel else ("dispatcher", DISPATCHER_ROLES)
    write_folder(
        own.issue_staff(name, roles, now=now), folder / "certificates", root=root.certificate
    )
    write_yaml(
        folder / f"{name}.yaml",
        {
            "authority": authority,
            "endpoint": endpoint,
            "certificates": "certificates",
            "delay": PERSON_DELAY,
        },
    )


def write_yaml(path: Path, body: Mapping[str, object]) -> None:
    """Write a file that a person may read and change."""
    path.write_text(yaml.safe_dump(dict(body), allow_unicode=True), encoding="utf-8")
