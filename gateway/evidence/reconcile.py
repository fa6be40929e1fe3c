"""Rows in evidence files, and the other side's.

Part of the verifier (docs/evidence.md#steps): steps 8 and 16. The digests of rows are computed here
once more from docs/custody.md#ledger, apart from the code that writes them: a mistake there would
show as a file that does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from gateway.evidence.dossier import (
    Broken,
    ChainName,
    Check,
    Entry,
    Evidence,
    Flaw,
    Passed,
    Row,
    Term,
    TicketEvidence,
    parts_digest,
)
from gateway.evidence.spoken import Heard, Spoken
from gateway.evidence.terms import Story, is_passing
from gateway.evidence.verdict import Text
from gateway.kernel.time import to_microseconds

CLOCKS = timedelta(minutes=5)  # clocks of two offices differ by less
# Said and kept, but no rows: they move no custody (docs/custody.md#ledger).
_NO_ROWS = frozenset(
    {"TicketUpdate", "UpdateAnswer", "CitizenAct", "InformationRequest", "InformationAnswer"}
    | {"Inquiry", "InquiryAnswer"}
)


# --- step 8: rows -------------------------------------------------------------------------------


def check_rows(files: Sequence[Evidence], heard: Heard, told: Iterable[Story]) -> Passed:
    """Check that rows chain, stand for the statements in the file, and show its own terms."""
    terms: dict[str, list[Term]] = {}
    for term in (term for story in told for term in story.terms):
        terms.setdefault(term.holder, []).append(term)
    examined = 0
    remarks: list[Text] = []
    for evidence, listed in zip(files, heard.listed, strict=True):
        restated = 0
        subjects: set[tuple[ChainName, bytes]] = set()
        for ticket in evidence.tickets:
            heads: dict[ChainName, Row] = {}
            for row in ticket.rows:
                _check_row(evidence, row, heads.get(row.chain))
                restated += _check_subject(evidence, row, heads.get(row.chain), listed)
                heads[row.chain] = row
                subjects.add((row.chain, row.subject))
                examined += 1
        _check_all_said(evidence, listed, subjects)
        _check_terms(evidence, terms.get(evidence.authority, ()), subjects)
        if restated:
            remarks.append(
                Text(
                    f"{evidence.authority}：{restated} 份自己的声明在恢复后重新入账，"
                    "此前的账本行无从核对",
                    f"{evidence.authority}: {restated} own statements were recorded again later, as"
                    " after a restore; the rows that were before them are not shown",
                )
            )
    return Passed(Check.ROWS, examined, tuple(remarks))


def _check_row(evidence: Evidence, row: Row, before: Row | None) -> None:
    sequence = before.sequence + 1 if before else 1
    if row.sequence != sequence:
        raise _broken_row(
            evidence,
            row,
            Text("缺少账本行", "a ledger row is missing"),
            got=f"#{row.sequence}",
            expected=f"#{sequence}",
        )
    computed = parts_digest(
        b"lubiao/ledger-row/1",
        b"%d" % row.sequence,
        before.digest if before else b"",
        row.kind.encode(),
        str(row.epoch).encode(),
        row.subject,
        row.state,
        b"%d" % to_microseconds(row.recorded),
    )
    if computed != row.digest:
        raise _broken_row(
            evidence,
            row,
            Text("行摘要不符", "the row's digest is of another row"),
            got=row.digest.hex(),
            expected=computed.hex(),
        )


def _check_subject(
    evidence: Evidence, row: Row, before: Row | None, listed: Mapping[bytes, Spoken]
) -> bool:
    """Check a row against its statement; tell whether it stands where it was not said."""
    if not row.is_statement:
        return False
    spoken = listed.get(row.subject)
    if spoken is None:
        raise _broken_row(
            evidence,
            row,
            Text("缺少该行的声明", "the row's statement is missing"),
            got="-",
            expected=row.subject.hex(),
        )
    said = spoken.statement
    if (said.kind, said.epoch, spoken.chain) != (row.kind, row.epoch, row.chain):
        raise _broken_row(
            evidence,
            row,
            Text("行与声明不符", "row and statement differ"),
            got=f"{row.kind} {row.epoch}",
            expected=str(spoken),
        )
    head = before.digest if before else b""
    if said.issuer != evidence.authority or said.previous_digest == head:
        return False
    if row.recorded == said.issued:  # another time: said before a restore, recorded after it
        raise _broken_row(
            evidence,
            row,
            Text("声明所指前行不符", "the statement names another row before it"),
            got=said.previous_digest.hex() or "-",
            expected=head.hex() or "-",
        )
    return True


def _check_all_said(
    evidence: Evidence, listed: Mapping[bytes, Spoken], subjects: set[tuple[ChainName, bytes]]
) -> None:
    for spoken in listed.values():
        said = spoken.statement
        if said.issuer != evidence.authority or said.kind in _NO_ROWS or is_passing(spoken):
            continue
        if spoken.body is not None and (spoken.chain, spoken.digest) not in subjects:
            raise _broken(
                Check.ROWS,
                f"{evidence.authority} {spoken}",
                Text("自己的声明没有账本行", "a statement of its own has no row"),
                got="-",
                expected=spoken.digest.hex(),
            )


def _check_terms(
    evidence: Evidence, terms: Iterable[Term], subjects: set[tuple[ChainName, bytes]]
) -> None:
    """Check that its own terms are in its ledger."""
    tickets = {ticket.ticket for ticket in evidence.tickets}
    for term in terms:
        if term.chain.ticket not in tickets or evidence.exported < term.since:
            continue
        subject = term.second or term.first  # its own word; a ruling may have come attached
        if (term.chain, subject) not in subjects:
            raise _broken(
                Check.ROWS,
                f"{evidence.authority} {term.chain} {term.epoch}",
                Text("任期在其账本中没有记录", "its own term is not in its ledger"),
                got="-",
                expected=subject.hex(),
            )


# --- step 16: both sides ------------------------------------------------------------------------


def check_sides(files: Sequence[Evidence], told: Iterable[Story]) -> Passed:
    """Check that the ledgers of several authorities agree on every offer and answer."""
    seen: dict[tuple[object, ...], tuple[Evidence, Row]] = {}
    remarks: list[Text] = []
    examined = 0
    for evidence in files:
        for row in (row for ticket in evidence.tickets for row in ticket.rows):
            _check_seen(seen, evidence, row, (evidence.authority, row.chain, row.sequence))
            if row.kind in ("Offer", "Answer"):
                _check_seen(seen, evidence, row, (row.kind, row.chain, row.epoch))
                examined += 1
    held: dict[tuple[str, str], list[_Ledger]] = {}
    for evidence in files:
        for ticket in evidence.tickets:
            place = (evidence.authority, ticket.ticket)
            held.setdefault(place, []).append(_Ledger.of(evidence, ticket))
    for term in (term for story in told for term in story.terms if term.source is not None):
        remarks += _in_flight(held.get((term.source or "", term.chain.ticket), []), term)
    _check_one_ledger(files)
    return Passed(Check.SIDES, examined, tuple(remarks))


def _check_seen(
    seen: dict[tuple[object, ...], tuple[Evidence, Row]],
    evidence: Evidence,
    row: Row,
    place: tuple[object, ...],
) -> None:
    other, first = seen.setdefault(place, (evidence, row))
    if first.subject != row.subject or (
        other.authority == evidence.authority and first.digest != row.digest
    ):
        raise _broken_row(
            evidence,
            row,
            Text("双方账本不一致", "the two ledgers disagree"),
            got=f"{evidence.authority} {row.subject.hex()}",
            expected=f"{other.authority} #{first.sequence} {first.subject.hex()}",
            check=Check.SIDES,
        )


@dataclass(frozen=True, slots=True)
class _Ledger:
    """What one file has of a ticket: which statements have rows, and the last offer of each era."""

    evidence: Evidence
    subjects: frozenset[tuple[ChainName, bytes]]
    last_offers: Mapping[tuple[ChainName, int], Row]

    @classmethod
    def of(cls, evidence: Evidence, ticket: TicketEvidence) -> _Ledger:
        last: dict[tuple[ChainName, int], Row] = {}
        for row in ticket.rows:
            if row.kind == "Offer":
                known = last.setdefault((row.chain, row.epoch.era), row)
                if row.epoch > known.epoch:
                    last[row.chain, row.epoch.era] = row
        return cls(evidence, frozenset((row.chain, row.subject) for row in ticket.rows), last)


def _in_flight(held: Iterable[_Ledger], term: Term) -> list[Text]:
    """Check that who handed over knows the answer, or could not know it yet."""
    remarks = []
    for ledger in held:
        evidence = ledger.evidence
        if (term.chain, term.second) in ledger.subjects:
            continue
        later = ledger.last_offers.get((term.chain, term.epoch.era))
        if later is not None and later.epoch <= term.epoch:
            later = None
        offered = (term.chain, term.first) in ledger.subjects
        is_older = evidence.exported <= term.since + CLOCKS  # exported before it could know
        if later is not None or not (offered or is_older):
            raise _broken(
                Check.SIDES,
                f"{evidence.authority} {term.chain} {term.epoch} -> {term.holder}",
                Text("双方账本不一致", "the two ledgers disagree"),
                got=f"#{later.sequence} {later.kind} {later.epoch}" if later else "-",
                expected=f"{(term.second if offered else term.first).hex()}",
            )
        remarks.append(
            Text(
                f"{term.chain} {term.epoch}：{evidence.authority} 导出时尚未收到答复",
                f"{term.chain} {term.epoch}: {evidence.authority} had no answer yet when exported",
            )
        )
    return remarks


def _check_one_ledger(files: Sequence[Evidence]) -> None:
    entries: dict[tuple[str, int], Entry] = {}
    for evidence in files:
        for entry in evidence.entries:
            first = entries.setdefault((evidence.authority, entry.sequence), entry)
            if first.digest != entry.digest:
                raise _broken(
                    Check.SIDES,
                    f"{evidence.authority} entry {entry.sequence}",
                    Text("同一机构的账本有两个版本", "one authority has two ledgers"),
                    got=entry.digest.hex(),
                    expected=first.digest.hex(),
                )


def _broken_row(
    evidence: Evidence,
    row: Row,
    what: Text,
    *,
    got: str,
    expected: str,
    check: Check = Check.ROWS,
) -> Broken:
    where = f"{evidence.authority} {row.chain} #{row.sequence} {row.kind} {row.epoch}"
    return _broken(check, where, what, got=got, expected=expected)


def _broken(check: Check, where: str, what: Text, *, got: str = "", expected: str = "") -> Broken:
    return Broken(Flaw(check, where, what, got=got, expected=expected))
