"""What is signed around the rows: Merkle paths, entries, receipts, time stamps, content, the seal.

Part of the verifier (docs/evidence.md#steps): steps 9, 10 and 12 to 15. Digests of entries are
computed here once more, and paths are followed by the RFC's own algorithm, apart from the code that
makes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from google.protobuf.message import DecodeError

from gateway.delivery.codec import receipt_from_bytes
from gateway.evidence.dossier import (
    Broken,
    Check,
    Entry,
    Evidence,
    Flaw,
    Passed,
    Row,
    Stamp,
    parts_digest,
)
from gateway.evidence.merkle import root_of
from gateway.evidence.spoken import Heard, Keys, Spoken
from gateway.evidence.verdict import Text
from gateway.kernel.errors import LubiaoError, SignatureInvalid, StatementMalformed
from gateway.kernel.time import Instant, from_microseconds, to_microseconds
from gateway.trust.commitments import is_committed
from gateway.trust.statements import RECEIPT_PAYLOAD_TYPE, verify
from hotline.peer.v1 import peer_service_pb2 as peer_pb

ENTRY_PAYLOAD_TYPE = "application/vnd.lubiao.ledger-entry.v1"
EVIDENCE_PAYLOAD_TYPE = "application/vnd.lubiao.evidence.v1"
UNSEALED = timedelta(minutes=5)  # a row this much younger than the newest entry may have none
CLOCKS = timedelta(minutes=5)  # clocks of two offices differ by less
FIRST = bytes(32)


class StampJudge(Protocol):
    """Judges time stamps; `trust/timestamps.py` has it when its library is installed."""

    @property
    def is_anchored(self) -> bool:
        """Whether the reader's own roots count, not those that came with the file."""
        ...

    def judge(self, response: bytes, digest: bytes, given: Sequence[bytes]) -> Instant:
        """Return the time in a time stamp over a digest, or raise a LubiaoError."""
        ...


# --- steps 9 and 10: the authority's ledger -----------------------------------------------------


def check_paths(files: Sequence[Evidence]) -> Passed:
    """Check that each row lies under an entry; only the youngest may have none yet."""
    remarks: list[Text] = []
    examined = 0
    for evidence in files:
        entries = {entry.sequence: entry for entry in evidence.entries}
        # The export itself makes an entry first: a file without any has no old rows.
        newest = max((entry.recorded for entry in evidence.entries), default=evidence.exported)
        pending = 0
        for row in (row for ticket in evidence.tickets for row in ticket.rows):
            examined += 1
            if row.entry == 0:
                pending += 1
                if row.recorded < newest - UNSEALED:
                    raise _broken_path(
                        evidence,
                        row,
                        Text("旧行不在任何已签条目之下", "an old row is under no signed entry"),
                        got="-",
                        expected=f"< {newest.isoformat()}",
                    )
                continue
            _check_path(evidence, row, entries.get(row.entry))
        if pending:
            remarks.append(
                Text(
                    f"{evidence.authority}：{pending} 行尚无已签条目",
                    f"{evidence.authority}: {pending} rows are under no signed entry yet",
                )
            )
    return Passed(Check.PATHS, examined, tuple(remarks))


def _check_path(evidence: Evidence, row: Row, entry: Entry | None) -> None:
    if entry is None:
        raise _broken_path(
            evidence,
            row,
            Text("缺少账本条目", "the entry is missing"),
            got="-",
            expected=f"entry {row.entry}",
        )
    root = root_of(row.digest, index=row.index, size=entry.rows, path=row.path)
    if root != entry.root:
        raise _broken_path(
            evidence,
            row,
            Text("默克尔路径不通向条目的根", "the Merkle path leads to another root"),
            got=root.hex() if root else "-",
            expected=f"entry {entry.sequence} {entry.root.hex()}",
        )


def check_entries(files: Sequence[Evidence], keys: Keys) -> Passed:
    """Check that entries are signed, chain, and leave no gap that is not said."""
    remarks: list[Text] = []
    examined = 0
    for evidence in files:
        before: Entry | None = None
        gaps = back = 0
        for entry in evidence.entries:
            examined += 1
            _check_entry(evidence, entry, before, keys)
            gaps += before is not None and entry.sequence > before.sequence + 1
            back += before is not None and entry.recorded < before.recorded
            before = entry
        if back:
            remarks.append(
                Text(
                    f"{evidence.authority}：{back} 个条目所称时间早于前一条目"
                    "（时钟曾被拨回，或倒填）",
                    f"{evidence.authority}: {back} entries claim to be earlier than the one before:"
                    " a clock was set back, or they are dated back",
                )
            )
        if gaps:
            remarks.append(
                Text(
                    f"{evidence.authority}：条目间有 {gaps} 处间隔，仅以签名相连",
                    f"{evidence.authority}: {gaps} gaps between entries, joined by signatures only",
                )
            )
    return Passed(Check.ENTRIES, examined, tuple(remarks))


def _check_entry(evidence: Evidence, entry: Entry, before: Entry | None, keys: Keys) -> None:
    where = f"{evidence.authority} entry {entry.sequence}"
    expected = entry.previous
    if entry.sequence == 1:
        expected = FIRST
    elif before is not None and entry.sequence == before.sequence + 1:
        expected = before.digest
    is_after = before is None or entry.sequence > before.sequence
    if entry.previous != expected or not is_after:
        raise _broken(
            Check.ENTRIES,
            where,
            Text("条目不接在前一条目之后", "the entry does not follow the one before"),
            got=entry.previous.hex(),
            expected=expected.hex(),
        )
    computed = parts_digest(
        b"lubiao/ledger-entry/1",
        b"%d" % entry.sequence,
        entry.previous,
        entry.root,
        b"%d" % entry.rows,
        b"%d" % to_microseconds(entry.recorded),
    )
    if computed != entry.digest:
        raise _broken(
            Check.ENTRIES,
            where,
            Text("条目摘要不符", "the entry's digest is of another entry"),
            got=entry.digest.hex(),
            expected=computed.hex(),
        )
    _check_signed(
        evidence.authority,
        entry.digest,
        (entry.key_id, entry.signature),
        keys,
        check=Check.ENTRIES,
        where=where,
        payload_type=ENTRY_PAYLOAD_TYPE,
        at=entry.recorded,
    )


def check_seals(files: Sequence[Evidence], keys: Keys) -> Passed:
    """Check that each file is, byte for byte, what its authority sealed (step 15)."""
    for evidence in files:
        seal = evidence.seal
        where = f"{evidence.authority} {evidence.subject}"
        if seal.digest != seal.covered:
            raise _broken(
                Check.SEAL,
                where,
                Text("文件字节与封印不符", "the file's bytes are not those that were sealed"),
                got=seal.covered.hex(),
                expected=seal.digest.hex(),
            )
        _check_signed(
            evidence.authority,
            seal.digest,
            (seal.key_id, seal.signature),
            keys,
            check=Check.SEAL,
            where=where,
            payload_type=EVIDENCE_PAYLOAD_TYPE,
            at=evidence.exported,
        )
    return Passed(Check.SEAL, len(files))


def _check_signed(
    authority: str,
    payload: bytes,
    signed: tuple[str, bytes],
    keys: Keys,
    *,
    check: Check,
    where: str,
    payload_type: str,
    at: Instant,
) -> None:
    key_id, signature = signed
    public = keys.need(authority, key_id, check=check, where=where)
    try:
        verify(public, payload, signature, payload_type=payload_type, signer=authority)
    except SignatureInvalid as error:
        raise _broken(
            check,
            where,
            Text("签名不成立", "the signature does not hold"),
            got=signature.hex()[:32],
            expected=f"{authority} {key_id}",
        ) from error
    keys.check_valid(authority, key_id, (at,), check=check, where=where)


# --- step 12: receipts --------------------------------------------------------------------------


def check_receipts(files: Sequence[Evidence], heard: Heard, keys: Keys) -> Passed:
    """Check that each receipt is of its statement, by one to whom it was addressed."""
    examined = silent = 0
    for evidence, listed in zip(files, heard.listed, strict=True):
        spoken = iter(listed.values())
        for kept in (kept for ticket in evidence.tickets for kept in ticket.kept):
            said = next(spoken)
            for raw in kept.receipts:
                _check_receipt(said, raw, keys)
                examined += 1
            silent += said.statement.issuer == evidence.authority and not kept.receipts
    remarks: tuple[Text, ...] = ()
    if silent:
        remarks = (
            Text(
                f"{silent} 份自己的声明没有回执（同一节点内交付，或尚未送达）",
                f"{silent} own statements have no receipt (delivered within one node, or not yet)",
            ),
        )
    return Passed(Check.RECEIPTS, examined, remarks)


def _check_receipt(spoken: Spoken, raw: bytes, keys: Keys) -> None:
    where = str(spoken)
    try:
        signed = peer_pb.SignedReceipt.FromString(raw)
        issuer, receipt = receipt_from_bytes(signed.receipt)
        stamp = peer_pb.Receipt.FromString(signed.receipt).receipt_time
        at = from_microseconds(stamp.seconds * 1_000_000 + stamp.nanos // 1000)
    except (DecodeError, StatementMalformed, OverflowError) as error:
        raise _broken(
            Check.RECEIPTS, where, Text("回执无法解析", "a receipt does not parse")
        ) from error
    if receipt.statement_digest != spoken.digest or issuer not in spoken.statement.audience:
        raise _broken(
            Check.RECEIPTS,
            where,
            Text("回执属于另一声明", "the receipt is of another statement"),
            got=f"{issuer} {receipt.statement_digest.hex()}",
            expected=f"{','.join(spoken.statement.audience)} {spoken.digest.hex()}",
        )
    _check_signed(
        issuer,
        signed.receipt,
        (signed.signature.key_id, signed.signature.direct),
        keys,
        check=Check.RECEIPTS,
        where=where,
        payload_type=RECEIPT_PAYLOAD_TYPE,
        at=at,
    )


# --- step 13: time stamps -----------------------------------------------------------------------


def check_stamps(files: Sequence[Evidence], judge: StampJudge | None) -> Passed:
    """Check each time stamp, and say up to where rows are stamped and how many are pending."""
    remarks: list[Text] = []
    examined = 0
    for evidence in files:
        entries = {entry.sequence: entry for entry in evidence.entries}
        stamped: set[int] = set()
        if judge is None and evidence.stamps:
            remarks.append(
                Text(
                    f"{evidence.authority}：时间戳未核对（请安装 lubiao[timestamps]）",
                    f"{evidence.authority}: time stamps were not examined;"
                    " install lubiao[timestamps]",
                )
            )
        for stamp in evidence.stamps if judge is not None else ():
            at = _judged(evidence, stamp, entries.get(stamp.entry), judge)
            _cover(entries, stamp.entry, stamped)
            examined += 1
            remarks.append(
                Text(
                    f"{evidence.authority}：截至第 {stamp.entry} 条的条目有时间戳 {at.isoformat()}",
                    f"{evidence.authority}: entries up to {stamp.entry} are stamped"
                    f" {at.isoformat()}",
                )
            )
        remarks += _pending(evidence, stamped)
        if judge is not None and evidence.stamps and not judge.is_anchored:
            remarks.append(
                Text(
                    f"{evidence.authority}：时间戳的根证书取自文件本身，请以 --tsa 核对",
                    f"{evidence.authority}: the roots of the time stamps come from the file itself;"
                    " check them with --tsa",
                )
            )
    return Passed(Check.TIMESTAMPS, examined, tuple(remarks))


def _judged(
    evidence: Evidence, stamp: Stamp, entry: Entry | None, judge: StampJudge | None
) -> Instant:
    where = f"{evidence.authority} entry {stamp.entry}"
    if entry is None or judge is None:
        raise _broken(
            Check.TIMESTAMPS, where, Text("时间戳没有对应的条目", "a time stamp without its entry")
        )
    try:
        at = judge.judge(stamp.response, entry.digest, stamp.roots)
    except LubiaoError as error:
        raise _broken(
            Check.TIMESTAMPS,
            where,
            Text("时间戳不成立", "the time stamp does not hold"),
            got=error.metadata.get("got", error.reason),
            expected=entry.digest.hex(),
        ) from error
    if entry.recorded > at + CLOCKS:
        raise _broken(
            Check.TIMESTAMPS,
            where,
            Text("条目所称时间晚于其时间戳", "the entry claims a later time than its time stamp"),
            got=entry.recorded.isoformat(),
            expected=f"<= {at.isoformat()}",
        )
    return at


def _cover(entries: Mapping[int, Entry], sequence: int, stamped: set[int]) -> None:
    """Add the entries that a stamp covers: back from its own while none is missing."""
    while sequence in entries and sequence not in stamped:
        stamped.add(sequence)
        sequence -= 1


def _pending(evidence: Evidence, stamped: set[int]) -> list[Text]:
    rows = [row for ticket in evidence.tickets for row in ticket.rows]
    pending = sum(row.entry not in stamped for row in rows)
    if not pending:
        return []
    return [
        Text(
            f"{evidence.authority}：{len(rows)} 行中 {pending} 行的时间戳待补",
            f"{evidence.authority}: the time stamps of {pending} of {len(rows)} rows are pending",
        )
    ]


# --- step 14: content ---------------------------------------------------------------------------


def check_content(files: Sequence[Evidence], heard: Heard) -> Passed:
    """Check that opened content is what was promised."""
    examined = 0
    for evidence, listed in zip(files, heard.listed, strict=True):
        for ticket in evidence.tickets:
            for opened in ticket.contents:
                spoken = listed.get(opened.statement)
                promised = getattr(spoken.body, "commitments", ()) if spoken is not None else ()
                is_kept = any(
                    item.kind == opened.kind
                    and is_committed(block=opened.block, salt=opened.salt, commitment=item.digest)
                    for item in promised
                )
                if not is_kept:
                    raise _broken(
                        Check.CONTENT,
                        f"{evidence.authority} {ticket.ticket} {opened.kind}",
                        Text("内容与承诺不符", "the content is not what was promised"),
                        got=opened.statement.hex(),
                        expected=str(spoken) if spoken is not None else "-",
                    )
                examined += 1
    return Passed(Check.CONTENT, examined)


def _broken_path(evidence: Evidence, row: Row, what: Text, *, got: str, expected: str) -> Broken:
    where = f"{evidence.authority} {row.chain} #{row.sequence} {row.kind} {row.epoch}"
    return _broken(Check.PATHS, where, what, got=got, expected=expected)


def _broken(check: Check, where: str, what: Text, *, got: str = "", expected: str = "") -> Broken:
    return Broken(Flaw(check, where, what, got=got, expected=expected))
