"""Making the folder of a demonstration: CAs, certificates, a roster marked `demo`, nodes, adapters.

The same steps as an operator takes by hand with `lubiao ca`, `lubiao init` and `lubiao roster`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import yaml

from gateway.cli import roster
from gateway.cli.ca import write_folder
from gateway.cli.demo.federation import Federation
from gateway.cli.demo.layout import Layout
from gateway.cli.demo.processes import free_ports
from gateway.cli.demo.topology import PlatformPlan, Topology
from gateway.cli.node import PUBLIC_FILE, init
from gateway.kernel.time import Instant, SystemClock
from gateway.trust.certificates import CertificateAuthority
from gateway.trust.principal import Role
from gateway.trust.revocation import FEDERATION

ROSTER_FILE = "roster.binpb"  # in a node's folder
DELAYS = {"sign": 0.5, "contact": 0.5, "done": 1.0, "rating": 0.5}  # seconds; people take days
DISPATCHER_DELAY = 1.0
SCAN_SECONDS = 0.2
OBSERVER_ROLES = frozenset({Role.SUPERVISOR})
DISPATCHER_ROLES = frozenset({Role.DISPATCHER, Role.CLERK})


def share_out(topology: Topology, count: int) -> dict[str, int]:
    """Return how many ordinary messages each platform hands in, `count` in all."""
    givers = [platform.id for platform in topology.platforms if platform.regions]
    share, rest = divmod(max(0, count), len(givers))
    return {name: share + (1 if position < rest else 0) for position, name in enumerate(givers)}


def make(topology: Topology, folder: Path, ordinary: Mapping[str, int]) -> Federation:
    """Write everything below `folder` and return the federation, not yet started."""
    layout = Layout(folder)
    now = SystemClock().now()
    ports = free_ports(len(topology.nodes))
    endpoints = {
        node.name: f"127.0.0.1:{port}" for node, port in zip(topology.nodes, ports, strict=True)
    }
    root = CertificateAuthority.create(layout.root_ca, FEDERATION, now=now)
    for authority in topology.authorities:
        own = CertificateAuthority.create(layout.ca(authority), authority, now=now)
        observer = own.issue_staff("observer", OBSERVER_ROLES, now=now)
        write_folder(observer, layout.staff(authority), root=root.certificate)
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # hints for an operator
        _make_nodes(topology, layout, endpoints)
    for platform in topology.platforms:
        node = topology.node_of(platform.authority)
        _make_adapter(layout, platform, endpoints[node.name], ordinary.get(platform.id, 0), now)
    for authority in topology.dispatchers:
        _make_dispatcher(layout, authority, endpoints[topology.node_of(authority).name], now)
    return Federation(topology=topology, layout=layout, endpoints=endpoints)


def _make_nodes(topology: Topology, layout: Layout, endpoints: Mapping[str, str]) -> None:
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
            hosts=",".join(node.authorities if node.is_custodian else ()),
            node=node.name,
            bind=endpoints[node.name],
            ca=layout.root_ca,
            trust=[layout.ca(code) for code in node.authorities if node.is_custodian],
            roster_key=layout.roster / roster.PUBLIC,
            directory_node=f"{directory.name}@{endpoints[directory.name]}"
            if directory is not None and knows_directory
            else "",
            demo=True,
        )
    description = layout.roster / "description.yaml"
    _write_yaml(description, _description(topology, layout, endpoints))
    signed = layout.roster / ROSTER_FILE
    roster.sign(description, key=layout.roster / roster.PRIVATE, out=signed)
    for node in topology.nodes:
        shutil.copyfile(signed, layout.node(node.name) / ROSTER_FILE)


def _description(
    topology: Topology, layout: Layout, endpoints: Mapping[str, str]
) -> dict[str, object]:
    """Return the roster as `lubiao roster sign` reads it."""
    return {
        "version": 1,
        "demo": True,
        "nodes": [
            {"id": node.name, "endpoint": endpoints[node.name], "roles": list(node.roles)}
            for node in topology.nodes
        ],
        "authorities": [
            {
                "code": code,
                "name": topology.names.get(code, code),
                "node": node.name,
                "public": str((layout.node(node.name) / PUBLIC_FILE).resolve()),
            }
            for node in topology.nodes
            if node.is_custodian
            for code in node.authorities
        ],
    }


def _make_adapter(
    layout: Layout, platform: PlatformPlan, endpoint: str, ordinary: int, now: Instant
) -> None:
    folder = layout.adapter(platform.id)
    folder.mkdir(mode=0o700, parents=True)
    root = CertificateAuthority.load(layout.root_ca)
    own = CertificateAuthority.load(layout.ca(platform.authority))
    issued = own.issue_platform(platform.id, now=now)
    write_folder(issued, folder / "certificates", root=root.certificate)
    _write_yaml(
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
    _write_yaml(
        folder / "simulated.yaml",
        {
            "platform": platform.id,
            "samples": platform.has_samples,
            "ordinary": ordinary,
            "regions": list(platform.regions),
            "delays": DELAYS,
        },
    )


def _make_dispatcher(layout: Layout, authority: str, endpoint: str, now: Instant) -> None:
    folder = layout.dispatcher(authority)
    folder.mkdir(mode=0o700, parents=True)
    root = CertificateAuthority.load(layout.root_ca)
    own = CertificateAuthority.load(layout.ca(authority))
    issued = own.issue_staff("dispatcher", DISPATCHER_ROLES, now=now)
    write_folder(issued, folder / "certificates", root=root.certificate)
    _write_yaml(
        folder / "dispatcher.yaml",
        {
            "authority": authority,
            "endpoint": endpoint,
            "certificates": "certificates",
            "delay": DISPATCHER_DELAY,
        },
    )


def _write_yaml(path: Path, body: Mapping[str, object]) -> None:
    path.write_text(yaml.safe_dump(dict(body), allow_unicode=True), encoding="utf-8")
