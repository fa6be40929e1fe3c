"""Making the folder of a demonstration: CAs, certificates, a roster marked `demo`, nodes, adapters.

The same steps as an operator takes by hand with `lubiao ca`, `lubiao init` and `lubiao roster`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from gateway.cli.demo.federation import Federation
from gateway.cli.demo.layout import Layout
from gateway.cli.demo.processes import free_ports
from gateway.cli.demo.topology import PlatformPlan, Topology
from gateway.kernel.time import Instant, SystemClock
from gateway.trust.certificates import CertificateAuthority, IssuedCertificate
from gateway.trust.key_files import save_private_key
from gateway.trust.principal import Role
from gateway.trust.revocation import FEDERATION

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
        save_certificate(layout.staff(authority), observer, root)
    for platform in topology.platforms:
        node = topology.node_of(platform.authority)
        _make_adapter(layout, platform, endpoints[node.name], ordinary.get(platform.id, 0), now)
    for authority in topology.dispatchers:
        _make_dispatcher(layout, authority, endpoints[topology.node_of(authority).name], now)
    return Federation(topology=topology, layout=layout, endpoints=endpoints)


def save_certificate(folder: Path, issued: IssuedCertificate, root: CertificateAuthority) -> None:
    """Write `cert.pem`, `key.pem` and `ca.pem` as a client needs them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "cert.pem").write_bytes(issued.certificate_pem)
    save_private_key(folder / "key.pem", issued.key)
    (folder / "ca.pem").write_bytes(root.certificate.pem)


def _make_adapter(
    layout: Layout, platform: PlatformPlan, endpoint: str, ordinary: int, now: Instant
) -> None:
    folder = layout.adapter(platform.id)
    folder.mkdir(mode=0o700, parents=True)
    root = CertificateAuthority.load(layout.root_ca)
    own = CertificateAuthority.load(layout.ca(platform.authority))
    save_certificate(folder / "certificates", own.issue_platform(platform.id, now=now), root)
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
    save_certificate(folder / "certificates", issued, root)
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
