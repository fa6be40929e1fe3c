"""Roster between protobuf and values.

Parsing checks the machine limits of the standard first, so that everything after it may rely on
them. A key of a suite that this version does not know is kept without a usable key: it is an
error only for who must use it, not for the other authorities on the list.
"""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.kernel.errors import FieldInvalid, StatementMalformed
from gateway.kernel.ids import AuthorityCode, NodeId
from gateway.kernel.time import Instant, from_microseconds, to_microseconds
from gateway.kernel.validation import validate
from gateway.trust.keys import KeyId, PublicKey, Purpose, Suite
from gateway.trust.roster import AuthorityEntry, KeyEntry, NodeEntry, NodeRole, Roster
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.type.v1 import statement_pb2

ROSTER_BYTES_MAX = 16 * 1024 * 1024  # 4,000 authorities with keys; the bound of SignedRoster
_AUTHORITY_PREFIX = "authorities/"
_NODE_PREFIX = "nodes/"
_ROLES = {
    NodeRole.CUSTODIAN: federation_pb.NODE_ROLE_CUSTODIAN,
    NodeRole.DIRECTORY: federation_pb.NODE_ROLE_DIRECTORY,
    NodeRole.HUB: federation_pb.NODE_ROLE_HUB,
    NodeRole.ARBITER: federation_pb.NODE_ROLE_ARBITER,
}
_ROLES_BY_NUMBER = {number: role for role, number in _ROLES.items()}


def roster_to_bytes(roster: Roster) -> bytes:
    """Return the bytes of a roster: what is signed."""
    roster_pb = federation_pb.Roster(
        version=roster.version,
        issue_time=_timestamp(roster.issued),
        expire_time=_timestamp(roster.expires),
        demo=roster.demo,
        authorities=[_authority_to_pb(entry) for entry in roster.authorities.values()],
        nodes=[_node_to_pb(node) for node in roster.nodes.values()],
    )
    return roster_pb.SerializeToString(deterministic=True)


def roster_from_bytes(payload: bytes) -> Roster:
    """Return the roster in some verified bytes.

    Raises:
        StatementMalformed: the bytes do not parse, break a machine limit, or list a name twice.
    """
    roster_pb = federation_pb.Roster()
    try:
        roster_pb.ParseFromString(payload)
    except DecodeError as error:
        raise _malformed("bytes that do not parse") from error
    check_limits(roster_pb)
    authorities = tuple(_authority_from_pb(each) for each in roster_pb.authorities)
    nodes = tuple(_node_from_pb(each) for each in roster_pb.nodes)
    if len({each.code for each in authorities}) != len(authorities):
        raise _malformed("an authority listed twice")
    if len({each.id for each in nodes}) != len(nodes):
        raise _malformed("a node listed twice")
    roster = Roster.of(
        authorities,
        nodes,
        version=roster_pb.version,
        issued=_instant(roster_pb.issue_time),
        demo=roster_pb.demo,
    )
    return replace(roster, expires=_instant(roster_pb.expire_time))


def signed_roster_to_bytes(payload: bytes, signatures: tuple[tuple[KeyId, bytes], ...]) -> bytes:
    """Return the file format: the exact roster bytes and their signatures."""
    return federation_pb.SignedRoster(
        roster=payload,
        signatures=[
            statement_pb2.Signature(key_id=key_id, direct=signature)
            for key_id, signature in signatures
        ],
    ).SerializeToString(deterministic=True)


def signed_roster_from_bytes(signed: bytes) -> tuple[bytes, tuple[tuple[KeyId, bytes], ...]]:
    """Return the exact roster bytes and the direct signatures beside them, nothing verified.

    Raises:
        StatementMalformed: the bytes are too many, do not parse or break a machine limit.
    """
    if len(signed) > ROSTER_BYTES_MAX:
        raise _malformed(f"{len(signed)} bytes", expected=f"at most {ROSTER_BYTES_MAX}")
    signed_pb = federation_pb.SignedRoster()
    try:
        signed_pb.ParseFromString(signed)
    except DecodeError as error:
        raise _malformed("bytes that do not parse") from error
    check_limits(signed_pb)
    return signed_pb.roster, tuple(
        (KeyId(each.key_id), each.direct) for each in signed_pb.signatures if each.direct
    )


def check_limits(message: federation_pb.Roster | federation_pb.SignedRoster) -> None:
    """Return if a message keeps the machine limits of the standard."""
    try:
        validate(message)
    except FieldInvalid as error:
        field, what = error.violations[0]
        raise _malformed(f"{field}: not {what}", expected="the limits of the standard") from error


def _authority_to_pb(entry: AuthorityEntry) -> federation_pb.Authority:
    statement, sealing = federation_pb.KEY_PURPOSE_STATEMENT, federation_pb.KEY_PURPOSE_SEALING
    return federation_pb.Authority(
        name=_AUTHORITY_PREFIX + entry.code,
        display_name=entry.name,
        node=_NODE_PREFIX + entry.hosted_on,
        further_nodes=[_NODE_PREFIX + node for node in entry.further_nodes],
        keys=[
            *(_key_to_pb(key, statement) for key in entry.statement_keys),
            *(_key_to_pb(key, sealing) for key in entry.sealing_keys),
        ],
        mandate_from=_timestamp(entry.mandate_from) if entry.mandate_from else None,
        mandate_to=_timestamp(entry.mandate_to) if entry.mandate_to else None,
    )


def _authority_from_pb(entry_pb: federation_pb.Authority) -> AuthorityEntry:
    keys = entry_pb.keys
    return AuthorityEntry(
        code=AuthorityCode(entry_pb.name.removeprefix(_AUTHORITY_PREFIX)),
        name=entry_pb.display_name,
        hosted_on=NodeId(entry_pb.node.removeprefix(_NODE_PREFIX)),
        further_nodes=tuple(
            NodeId(node.removeprefix(_NODE_PREFIX)) for node in entry_pb.further_nodes
        ),
        statement_keys=tuple(
            _key_from_pb(key, Purpose.STATEMENT)
            for key in keys
            if key.purpose == federation_pb.KEY_PURPOSE_STATEMENT
        ),
        sealing_keys=tuple(
            _key_from_pb(key, Purpose.SEALING)
            for key in keys
            if key.purpose == federation_pb.KEY_PURPOSE_SEALING
        ),
        mandate_from=(
            _instant(entry_pb.mandate_from) if entry_pb.HasField("mandate_from") else None
        ),
        mandate_to=_instant(entry_pb.mandate_to) if entry_pb.HasField("mandate_to") else None,
    )


def _key_to_pb(key: KeyEntry, purpose: federation_pb.KeyPurpose.ValueType) -> federation_pb.Key:
    return federation_pb.Key(
        key_id=key.key_id,
        purpose=purpose,
        suite=key.suite,
        public_key=key.raw,
        valid_from=_timestamp(key.valid_from),
        valid_to=_timestamp(key.valid_to),
        revoke_time=_timestamp(key.revoked_at) if key.revoked_at else None,
        statement_kinds=sorted(key.statement_kinds),
    )


def _key_from_pb(key_pb: federation_pb.Key, purpose: Purpose) -> KeyEntry:
    return KeyEntry(
        key_id=KeyId(key_pb.key_id),
        suite=key_pb.suite,
        public=_public_key(key_pb, purpose),
        raw=key_pb.public_key,
        valid_from=_instant(key_pb.valid_from),
        valid_to=_instant(key_pb.valid_to),
        revoked_at=_instant(key_pb.revoke_time) if key_pb.HasField("revoke_time") else None,
        statement_kinds=frozenset(key_pb.statement_kinds),
    )


def _public_key(key_pb: federation_pb.Key, purpose: Purpose) -> PublicKey | None:
    try:
        return PublicKey(purpose, Suite(key_pb.suite), key_pb.public_key)
    except (ValueError, FieldInvalid):  # a suite of a newer version, or not for this purpose
        return None


def _node_to_pb(node: NodeEntry) -> federation_pb.Node:
    return federation_pb.Node(
        name=_NODE_PREFIX + node.id,
        endpoint=node.endpoint,
        roles=sorted(_ROLES[role] for role in node.roles),
        protocol_versions=node.protocol_versions,
        capabilities=sorted(node.capabilities),
    )


def _node_from_pb(node_pb: federation_pb.Node) -> NodeEntry:
    return NodeEntry(
        id=NodeId(node_pb.name.removeprefix(_NODE_PREFIX)),
        endpoint=node_pb.endpoint,
        roles=frozenset(_ROLES_BY_NUMBER[n] for n in node_pb.roles if n in _ROLES_BY_NUMBER),
        protocol_versions=tuple(node_pb.protocol_versions),
        capabilities=frozenset(node_pb.capabilities),
    )


def _timestamp(moment: Instant) -> Timestamp:
    microseconds = to_microseconds(moment)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def _instant(timestamp: Timestamp) -> Instant:
    try:
        return from_microseconds(timestamp.seconds * 1_000_000 + timestamp.nanos // 1000)
    except OverflowError as error:
        raise _malformed("a time outside the calendar") from error


def _malformed(got: str, *, expected: str = "a roster") -> StatementMalformed:
    return StatementMalformed(check="roster", got=got, expected=expected)
