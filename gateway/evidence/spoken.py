"""The statements in evidence files: opened, with the keys that a roster lists for them.

Part of the verifier (docs/evidence.md#steps): steps 2 and 3. What stands in a file and what is
attached to it inside other statements is opened alike, each once. Nothing here reads a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from gateway.custody import bodies, codec
from gateway.delivery.codec import receipt_from_bytes, statement_from_pb
from gateway.delivery.model import Outcome, SignedBytes, Statement
from gateway.evidence.dossier import Broken, ChainName, Check, Evidence, Flaw, Passed
from gateway.evidence.verdict import Text
from gateway.kernel.errors import FieldInvalid, LubiaoError, SignatureInvalid, StatementMalformed
from gateway.kernel.time import Instant, from_microseconds
from gateway.kernel.validation import validate
from gateway.trust.keys import PublicKey
from gateway.trust.roster import KeyEntry, Roster
from gateway.trust.statements import digest, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb
from hotline.type.v1 import statement_pb2 as type_pb

ATTACHED_MAX = 200_000  # in all files together; each is opened once
ATTACHED_DEPTH_MAX = 40  # an offer holds what was attached to the offers before it


@dataclass(frozen=True, slots=True)
class Spoken:
    """A statement with its body; a kind of a newer version has none."""

    signed: SignedBytes
    statement: Statement
    digest: bytes
    body: bodies.Body | None

    @property
    def chain(self) -> ChainName:
        """The chain it belongs to."""
        return ChainName(self.statement.ticket, self.statement.scope, self.statement.chain)

    def __str__(self) -> str:
        """Return it as people look for it."""
        said = self.statement
        return f"{self.chain} {said.kind} {said.epoch} {said.issuer} {self.digest.hex()[:12]}"


@dataclass(slots=True)
class Heard:
    """All statements of some files."""

    every: dict[bytes, Spoken] = field(default_factory=dict)
    listed: list[dict[bytes, Spoken]] = field(default_factory=list)  # by file
    unknown: int = 0  # of kinds that this version does not know
    attached: int = 0  # that came only inside others


class Keys:
    """The statement keys that rosters list; of several, the newest that lists a key counts."""

    def __init__(self, rosters: Sequence[Roster]) -> None:
        """Take the rosters in any order."""
        self._rosters = sorted(rosters, key=lambda roster: -roster.version)

    def find(self, authority: str, key_id: str) -> KeyEntry | None:
        """Return a key as listed, whatever its validity."""
        found = (roster.key_entry(authority, key_id) for roster in self._rosters)
        return next((entry for entry in found if entry is not None), None)

    def need(self, authority: str, key_id: str, *, check: Check, where: str) -> PublicKey:
        """Return a public key.

        Raises:
            Broken: no roster lists it for that authority.
        """
        entry = self.find(authority, key_id)
        if entry is None or entry.public is None:
            raise Broken(
                Flaw(
                    check,
                    where,
                    Text("名册未列出该密钥", "no roster lists the key"),
                    got=key_id,
                    expected=f"{authority}",
                )
            )
        return entry.public

    def check_valid(
        self, authority: str, key_id: str, times: Sequence[Instant], *, check: Check, where: str
    ) -> None:
        """Return if a key was valid at one of these times.

        Raises:
            Broken: it was not.
        """
        entry = self.find(authority, key_id)
        if entry is not None and any(entry.is_valid_at(moment) for moment in times):
            return
        valid = "?"
        if entry is not None:
            end = min(entry.valid_to, entry.revoked_at or entry.valid_to)
            valid = f"{_shown(entry.valid_from)}..{_shown(end)}"
        raise Broken(
            Flaw(
                check,
                where,
                Text("密钥当时无效", "the key was not valid at that time"),
                got=f"{key_id} {', '.join(map(_shown, sorted(times)))}",
                expected=valid,
            )
        )


# --- step 2: signatures -------------------------------------------------------------------------


def check_signatures(files: Sequence[Evidence], keys: Keys) -> tuple[Heard, Passed]:
    """Open every statement whose signature holds, the attached ones too."""
    heard = Heard()
    for evidence in files:
        own: dict[bytes, Spoken] = {}
        heard.listed.append(own)
        for ticket in evidence.tickets:
            for place, kept in enumerate(ticket.kept, 1):
                where = f"{evidence.authority} {ticket.ticket} statement {place}"
                spoken = _open(kept.signed, keys, where)
                if spoken.statement.ticket != ticket.ticket or spoken.digest in own:
                    raise _broken(
                        where,
                        Text("声明属于另一工单或重复", "a statement of another ticket, or twice"),
                        got=str(spoken),
                        expected=str(ticket.ticket),
                    )
                own[spoken.digest] = heard.every[spoken.digest] = spoken
    for spoken in list(heard.every.values()):
        _open_attached(spoken, heard, keys)
    heard.unknown = sum(spoken.body is None for spoken in heard.every.values())
    remarks: tuple[Text, ...] = ()
    if heard.unknown:
        remarks = (
            Text(
                f"{heard.unknown} 份声明属于本版本不认识的种类，只核对了签名",
                f"{heard.unknown} statements are of kinds that this version does not know:"
                " only their signatures were checked",
            ),
        )
    return heard, Passed(Check.SIGNATURES, len(heard.every), remarks)


def _open_attached(spoken: Spoken, heard: Heard, keys: Keys) -> None:
    waiting = [(spoken, 0)]
    while waiting:
        outer, depth = waiting.pop()
        for number, signed in enumerate(attached_to(outer.body), 1):
            if digest(signed.statement) in heard.every:
                continue
            where = f"{outer} attached {number}"
            if depth >= ATTACHED_DEPTH_MAX or heard.attached >= ATTACHED_MAX:
                raise _broken(where, Text("附件过多", "too much is attached"))
            inner = _open(signed, keys, where)
            heard.every[inner.digest] = inner
            heard.attached += 1
            waiting.append((inner, depth + 1))


def attached_to(body: bodies.Body | None) -> tuple[SignedBytes, ...]:
    """Return the statements inside a body."""
    found: tuple[SignedBytes, ...] = getattr(body, "attached", ())
    single = (getattr(body, "offer", None), getattr(body, "assumption", None))
    return (*found, *(signed for signed in single if isinstance(signed, SignedBytes)))


def _open(signed: SignedBytes, keys: Keys, where: str) -> Spoken:
    message = type_pb.Statement()
    try:
        message.ParseFromString(signed.statement)
        validate(message)
        statement = statement_from_pb(message)
    except (DecodeError, FieldInvalid, StatementMalformed) as error:
        raise _unreadable(where, error) from error
    where = f"{where} {statement.kind} {statement.epoch} {statement.issuer}"
    public = keys.need(statement.issuer, signed.key_id, check=Check.SIGNATURES, where=where)
    try:
        verify(public, signed.statement, signed.signature, signer=statement.issuer)
    except SignatureInvalid as error:
        raise _broken(
            where,
            Text("签名不成立", "the signature does not hold"),
            got=digest(signed.statement).hex(),
            expected=f"{statement.issuer} {signed.key_id}",
        ) from error
    entry = keys.find(statement.issuer, signed.key_id)
    if entry is None or not entry.may_sign(statement.kind):
        raise _broken(
            where,
            Text("该密钥不得签署此类声明", "the key may not sign this kind"),
            got=statement.kind,
            expected=f"{signed.key_id}",
        )
    body = None
    if statement.kind in codec.known_kinds():
        try:
            body = codec.body_from_bytes(statement.kind, statement.body)
        except (LubiaoError, ValueError, KeyError) as error:
            raise _unreadable(where, error) from error
    return Spoken(signed, statement, digest(signed.statement), body)


def _unreadable(where: str, error: Exception) -> Broken:
    got = error.metadata.get("got", "") if isinstance(error, LubiaoError) else "bytes"
    return _broken(where, Text("声明无法解析", "the statement does not parse"), got=got)


# --- step 3: keys valid at their time -----------------------------------------------------------


def check_keys(files: Sequence[Evidence], heard: Heard, keys: Keys) -> Passed:
    """Check that each key was valid when its statement was first received, as far as is shown.

    A statement's time is that of another's signed `received` receipt, or else that of the ledger
    row that stands for it, another's before its own; of one that came only attached to others, or
    is no row, when it was issued.
    """
    rows, receipts = _rows(files), _receipts(files)
    for spoken in heard.every.values():
        issuer = spoken.statement.issuer
        recorded = rows.get(spoken.digest, {})
        # Who said it, or stole its key, chooses its own times: others' come first.
        others = [at for who, at in receipts.get(spoken.digest, ()) if who != issuer]
        others = others or [at for who, at in recorded.items() if who != issuer]
        keys.check_valid(
            issuer,
            spoken.signed.key_id,
            others or list(recorded.values()) or [spoken.statement.issued],
            check=Check.KEYS,
            where=str(spoken),
        )
    return Passed(Check.KEYS, len(heard.every))


def _rows(files: Sequence[Evidence]) -> Mapping[bytes, Mapping[str, Instant]]:
    """Return when each statement was recorded first, by whom."""
    found: dict[bytes, dict[str, Instant]] = {}
    for evidence in files:
        for row in (row for ticket in evidence.tickets for row in ticket.rows if row.is_statement):
            known = found.setdefault(row.subject, {})
            known[evidence.authority] = min(
                row.recorded, known.get(evidence.authority, row.recorded)
            )
    return found


def _receipts(files: Sequence[Evidence]) -> Mapping[bytes, Sequence[tuple[str, Instant]]]:
    found: dict[bytes, list[tuple[str, Instant]]] = {}
    for kept in (kept for file in files for ticket in file.tickets for kept in ticket.kept):
        times = [told for raw in kept.receipts for told in _received(raw)]
        found.setdefault(digest(kept.signed.statement), []).extend(times)
    return found


def _received(raw: bytes) -> Iterator[tuple[str, Instant]]:
    """Yield who says when that a statement was received; step 12 checks the receipt."""
    try:
        inner = peer_pb.SignedReceipt.FromString(raw).receipt
        issuer, receipt = receipt_from_bytes(inner)
        stamp = peer_pb.Receipt.FromString(inner).receipt_time
        if receipt.outcome is Outcome.RECEIVED:
            yield issuer, from_microseconds(stamp.seconds * 1_000_000 + stamp.nanos // 1000)
    except (DecodeError, StatementMalformed, OverflowError):
        return


def _shown(moment: Instant) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _broken(where: str, what: Text, *, got: str = "", expected: str = "") -> Broken:
    return Broken(Flaw(Check.SIGNATURES, where, what, got=got, expected=expected))
