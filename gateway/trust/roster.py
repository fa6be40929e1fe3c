"""The roster as a pure value: who is in the federation, where, and with which keys.

It decides nothing by itself. It answers where an authority lives, which key verifies what it
signed, who rules in a scope, and whether the list is fresh. Reading and verifying the signed
file is the work of `roster_file`; protobuf stays in `codec`.

A stale roster goes on working, with an alarm: a cut-off province must still be able to hand over
and answer. Validity of a key is judged at the receiver's first receipt of a statement, so `now`
below is that instant; what was receipted before a revocation stays valid (docs/federation.md).
"""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

from gateway.kernel.errors import KeyRevoked, KeyUnknown
from gateway.kernel.ids import NATION, AuthorityCode, NodeId
from gateway.kernel.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.kernel.time import Instant
    from gateway.trust.keys import KeyId, PublicKey

ROSTER_VALIDITY = timedelta(days=30)
EARLY_TOLERANCE = timedelta(minutes=5)  # clocks of two offices differ by less

# What a key may sign when its entry lists nothing: an authority that holds tickets. Rulings, leads
# and rosters are never among them: such a key must list its kinds.
CUSTODIAN_KINDS = frozenset(
    {
        "Genesis",
        "Offer",
        "Answer",
        "Revoke",
        "StandBy",
        "Inquiry",
        "InquiryAnswer",
        "InformationRequest",
        "InformationAnswer",
        "Assumption",
        "Release",
        "CaseFiling",
        "RulingAck",
        "StandDown",
        "ContentRequest",
        "ContentAnswer",
        "ChainClosed",
        "TicketUpdate",
        "UpdateAnswer",
        "CitizenAct",
        "Position",
        "Objection",
        "DestinationState",
        "RulePackPublication",
        "PackSummary",
        "MisrouteReport",
        "MisrouteAnswer",
        "Supervision",
        "Report",
        "Alarm",
        "LeadProgress",
        "LedgerHead",
        "KeyRotation",
        "Skipped",
    }
)
ARBITER_KINDS = frozenset(
    {
        "Ruling",
        "RulingAck",
        "CaseFile",
        "Minutes",
        "ObjectionAnswer",
        "PrecedentPublished",
        "LedgerHead",
        "KeyRotation",
        "Skipped",
    }
)
DIRECTORY_KINDS = frozenset(
    {
        "RosterUpdate",
        "ReferenceDataUpdate",
        "RulePackPublication",  # the nation's packs travel as signed files
        "LedgerHead",
        "KeyRotation",
        "Skipped",
    }
)
HUB_KINDS = frozenset({"Lead", "LedgerHead", "KeyRotation", "Skipped"})
# What is sealed to the nation's arbiter node, and so to its own keys.
ARBITER_OPENS = frozenset({"Position", "Objection"})
# What the hub takes; everything else that is addressed to the nation is its arbiter's.
HUB_INBOX = frozenset({"Report", "Alarm", "LeadProgress"})


PACK_SUMMARIES = "pack-summaries"  # it takes summaries of packs, and reports about rules
# What a node of this release can do; the roster says it of a node unless told otherwise.
CAPABILITIES = frozenset({PACK_SUMMARIES})


class Freshness(Enum):
    """How a roster stands to the present; all but FRESH raise an alarm."""

    FRESH = "fresh"
    STALE = "stale"
    EARLY = "early"  # issued in the future: one of two clocks is wrong


class NodeRole(Enum):
    """What a node does in the federation."""

    CUSTODIAN = "custodian"
    DIRECTORY = "directory"
    HUB = "hub"
    ARBITER = "arbiter"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A public key as the roster lists it; `public` is None for a suite this version lacks."""

    key_id: KeyId
    suite: str
    public: PublicKey | None
    raw: bytes = field(repr=False)
    valid_from: Instant
    valid_to: Instant
    revoked_at: Instant | None = None
    statement_kinds: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        public: PublicKey,
        *,
        valid_from: Instant,
        valid_to: Instant,
        statement_kinds: frozenset[str] = frozenset(),
    ) -> KeyEntry:
        """Return the line of a public key that is about to be listed."""
        return cls(
            key_id=public.key_id,
            suite=public.suite.value,
            public=public,
            raw=public.raw,
            valid_from=valid_from,
            valid_to=valid_to,
            statement_kinds=statement_kinds,
        )

    def is_valid_at(self, now: Instant) -> bool:
        """Tell whether a statement first received at `now` may rest on this key."""
        is_revoked = self.revoked_at is not None and now >= self.revoked_at
        return self.valid_from <= now <= self.valid_to and not is_revoked

    def may_sign(self, kind: str) -> bool:
        """Tell whether this key may sign statements of `kind`."""
        return kind in (self.statement_kinds or CUSTODIAN_KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityEntry:
    """A hotline body of the federation; `mandate` is the time in which it may rule in its scope.

    Only the nation lives on more than one node: directory and hub, and the arbiter apart from them.
    Each node has keys of its own, and each key lists what it may sign.
    """

    code: AuthorityCode
    name: str
    hosted_on: NodeId
    further_nodes: tuple[NodeId, ...] = ()
    statement_keys: tuple[KeyEntry, ...] = ()
    sealing_keys: tuple[KeyEntry, ...] = ()
    mandate_from: Instant | None = None
    mandate_to: Instant | None = None

    @property
    def parent(self) -> AuthorityCode | None:
        """The authority above: a city's province, a province's nation, nothing for the nation."""
        if self.code == NATION:
            return None
        return NATION if self.is_province else AuthorityCode(self.code[:2] + "0000")

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        """Every node it lives on."""
        return (self.hosted_on, *self.further_nodes)

    @property
    def is_province(self) -> bool:
        """Whether it is a province, hence the authority of a scope of its own."""
        return self.code != NATION and self.code.endswith("0000")

    def has_mandate_at(self, now: Instant) -> bool:
        """Tell whether it may rule at `now`."""
        if self.mandate_from is None or now < self.mandate_from:
            return False
        return self.mandate_to is None or now <= self.mandate_to


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEntry:
    """A gateway of the federation; `hosts` is computed from the authorities' entries."""

    id: NodeId
    endpoint: str
    roles: frozenset[NodeRole]
    hosts: tuple[AuthorityCode, ...] = ()
    protocol_versions: tuple[int, ...] = (1,)
    capabilities: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """One version of the list; immutable, replaced whole."""

    version: int
    issued: Instant
    expires: Instant
    demo: bool
    authorities: Mapping[AuthorityCode, AuthorityEntry]
    nodes: Mapping[NodeId, NodeEntry]

    @classmethod
    def of(
        cls,
        authorities: tuple[AuthorityEntry, ...],
        nodes: tuple[NodeEntry, ...],
        *,
        version: int,
        issued: Instant,
        demo: bool = False,
    ) -> Roster:
        """Return a roster valid for 30 days, with `hosts` of each node filled in."""
        return cls(
            version=version,
            issued=issued,
            expires=issued + ROSTER_VALIDITY,
            demo=demo,
            authorities={entry.code: entry for entry in authorities},
            nodes={node.id: _with_hosts(node, authorities) for node in nodes},
        )

    def authority(self, code: str) -> AuthorityEntry | None:
        """Return the entry of an authority, or None if it has not joined."""
        return self.authorities.get(AuthorityCode(code))

    def is_joined(self, code: str) -> bool:
        """Tell whether tickets can be offered to `code`."""
        return self.node_of(code) is not None

    def node(self, node_id: str) -> NodeEntry | None:
        """Return the entry of a node."""
        return self.nodes.get(NodeId(node_id))

    def node_of(self, code: str) -> NodeEntry | None:
        """Return the node that hosts an authority."""
        entry = self.authority(code)
        return self.nodes.get(entry.hosted_on) if entry else None

    def node_for(self, code: str, kind: str) -> NodeEntry | None:
        """Return the node that takes statements of `kind` for an authority.

        The nation's hub takes reports, its arbiter all that concerns custody; None while no node
        has that role.
        """
        if code != NATION:
            return self.node_of(code)
        role = NodeRole.HUB if kind in HUB_INBOX else NodeRole.ARBITER
        return next((node for node in self._nodes_of(code) if role in node.roles), None)

    def _nodes_of(self, code: str) -> tuple[NodeEntry, ...]:
        entry = self.authority(code)
        listed = entry.nodes if entry else ()
        return tuple(self.nodes[node] for node in listed if node in self.nodes)

    def hosted_by(self, node_id: str) -> tuple[AuthorityCode, ...]:
        """Return the authorities that live on a node, by code."""
        node = self.node(node_id)
        return node.hosts if node else ()

    def is_hosted_by(self, code: str, node_id: str) -> bool:
        """Tell whether what comes from `node_id` may speak for `code`."""
        entry = self.authority(code)
        return entry is not None and node_id in entry.nodes

    def arbiter_of(self, scope: str) -> AuthorityCode | None:
        """Return the one authority that may rule in a scope, or None while none has joined.

        A province is the arbiter of its own scope. The nation is that of `100000` only while one of
        its nodes has the role `arbiter`.
        """
        entry = self.authority(scope)
        if entry is None or not (entry.is_province or entry.code == NATION):
            return None
        return entry.code if self.node_for(scope, "CaseFiling") is not None else None

    def key_entry(self, code: str, key_id: str) -> KeyEntry | None:
        """Return a statement key as listed, whatever its validity."""
        entry = self.authority(code)
        keys = entry.statement_keys if entry else ()
        return next((key for key in keys if key.key_id == key_id), None)

    def statement_key(self, code: str, key_id: str) -> PublicKey | None:
        """Return a statement key without judging its validity, e.g. to check old evidence."""
        entry = self.key_entry(code, key_id)
        return entry.public if entry else None

    def verification_key(self, code: str, key_id: str, *, now: Instant) -> PublicKey:
        """Return the key that verifies what `code` signed and this node first received at `now`.

        The caller must still check after parsing that the issuer is `code` and that the key
        `may_sign` the kind.

        Raises:
            KeyUnknown: `code` lists no such statement key, or one of an unknown suite.
            KeyRevoked: the key is revoked or outside its validity at `now`.
        """
        entry = self.key_entry(code, key_id)
        if entry is None or entry.public is None:
            raise KeyUnknown(key_id=key_id, signer=code, kind="statement")
        if not entry.is_valid_at(now):
            raise KeyRevoked(key_id=key_id, signer=code)
        return entry.public

    def check_may_sign(self, code: str, key_id: str, kind: str) -> None:
        """Return if the roster lets this key sign statements of `kind`.

        Raises:
            KeyUnknown: the key is not listed for that kind.
        """
        entry = self.key_entry(code, key_id)
        if entry is None or not entry.may_sign(kind):
            raise KeyUnknown(key_id=key_id, signer=code, kind=kind)

    def current_sealing_key(self, code: str, *, now: Instant, kind: str = "") -> PublicKey:
        """Return the newest valid sealing key of an authority.

        The nation's nodes have keys of their own; one that lists `kind` is that of the node which
        takes such statements.

        Raises:
            KeyUnknown: it lists none that is valid now and known to this version.
        """
        entry = self.authority(code)
        keys = entry.sealing_keys if entry else ()
        valid = [key for key in keys if key.public is not None and key.is_valid_at(now)]
        valid = [key for key in valid if kind and kind in key.statement_kinds] or valid
        newest = max(valid, key=lambda key: (key.valid_from, key.key_id), default=None)
        if newest is None or newest.public is None:
            raise KeyUnknown(key_id="none", signer=code, kind="sealing")
        return newest.public

    def freshness(self, now: Instant) -> Freshness:
        """Return how the roster stands to `now`; a stale one works, with an alarm."""
        if now > self.expires:
            return Freshness.STALE
        return Freshness.EARLY if now < self.issued - EARLY_TOLERANCE else Freshness.FRESH


def roster_problems(roster: Roster) -> tuple[str, ...]:
    """Return everything that makes a roster unfit to be signed or used, in words."""
    problems = []
    if roster.version < 1:
        problems.append(f"version is {roster.version}, expected at least 1")
    if not timedelta(0) < roster.expires - roster.issued <= ROSTER_VALIDITY:
        problems.append(f"validity is {roster.expires - roster.issued}, expected at most 30 days")
    owners: dict[KeyId, AuthorityCode] = {}
    for entry in roster.authorities.values():
        problems.extend(
            f"{entry.code} lives on {node}, which is not listed"
            for node in entry.nodes
            if node not in roster.nodes
        )
        if entry.further_nodes and entry.code != NATION:
            problems.append(f"{entry.code} lives on several nodes; only the nation may")
        for key in (*entry.statement_keys, *entry.sealing_keys):
            if key.public is not None and key.public.key_id != key.key_id:
                problems.append(f"{entry.code} lists key {key.key_id} with other public bytes")
            if owners.setdefault(key.key_id, entry.code) != entry.code:
                problems.append(f"{entry.code} lists key {key.key_id} of {owners[key.key_id]}")
    return tuple(problems)


def _with_hosts(node: NodeEntry, authorities: tuple[AuthorityEntry, ...]) -> NodeEntry:
    return NodeEntry(
        id=node.id,
        endpoint=node.endpoint,
        roles=node.roles,
        hosts=tuple(sorted(entry.code for entry in authorities if node.id in entry.nodes)),
        protocol_versions=node.protocol_versions,
        capabilities=node.capabilities,
    )
