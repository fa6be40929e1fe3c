"""Protobuf ↔ values of arbitration."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.arbitration.model import (
    Case,
    CaseKey,
    CaseRuling,
    Entry,
    Filing,
    Order,
    RulingDue,
    TicketFacts,
)
from gateway.custody.model import CaseFiled
from gateway.delivery.codec import instant_from_pb, instant_to_pb
from gateway.kernel.codes import (
    CaseEntryKind,
    CaseGround,
    CaseState,
    Code,
    RulingKind,
    TicketType,
    Urgency,
)
from gateway.kernel.errors import FieldInvalid, StatementMalformed, VersionTooNew
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.kernel.time import Instant
from gateway.kernel.validation import validate
from hotline.arbitration.v1alpha1 import arbitration_service_pb2 as pb
from hotline.custody.v1 import custody_pb2
from hotline.ticket.v1 import codes_pb2

WORDS_BYTES_MAX = 256_000  # of all words; sealed and salted they stay below a block's 256 KiB
FRAMING_BYTES = 8  # of one text, at most
_REVISION = re.compile(r"[0-9]{1,18}")


def filing_of(event: CaseFiled) -> Filing:
    """Return a filing as custody told it."""
    return Filing(
        key=CaseKey(event.key.scope, event.case),
        ticket=event.key.ticket,
        chain=event.key.number,
        cause=event.cause,
        filer=event.filer,
        proposed_target=event.proposed_target,
        path=event.path,
        facts=facts_of_header(event.header),
        custodian=event.custodian,
        refused_by=event.refused_by,
    )


def facts_of_header(header: bytes) -> TicketFacts:
    """Return what a filing tells of its ticket; an empty or unreadable header tells nothing.

    Custody has held the header against its schema; a filing is never refused for what is missing.
    """
    try:
        message = custody_pb2.TicketHeader.FromString(header)
    except DecodeError:
        return TicketFacts()
    return TicketFacts(
        matter=message.matter,
        region=message.region,
        urgency=Urgency(_known(Urgency, message.urgency)),
        type=TicketType(_known(TicketType, message.type)),
        due_time=instant_from_pb(message.due_time) if message.HasField("due_time") else None,
    )


def order_of_request(request: pb.IssueRulingRequest) -> Order:
    """Return what a request orders; the schema has checked its limits."""
    return Order(
        kind=RulingKind(request.kind),
        target=AuthorityCode(request.target),
        legal_basis=request.legal_basis,
        reasons=request.reasons,
        offers_allowed=request.offers_allowed,
        mandates=tuple(AuthorityCode(code) for code in request.mandates),
        sets_precedent=request.sets_precedent,
    )


def case_to_pb(case: Case, *, now: Instant) -> pb.Case:
    """Return the message of a case; reasons appear where they were opened."""
    message = pb.Case(
        name=case.name,
        etag=case.etag,
        scope=case.key.scope,
        ticket=case.ticket,
        chain=case.chain,
        state=pb.Case.State.ValueType(case.state),
        ground=pb.Case.Ground.ValueType(case.ground),
        cause=case.cause,
        filers=case.filers,
        path=case.path,
        proposed_targets=case.proposed_targets,
        responsible=case.responsible,
        file_time=instant_to_pb(case.filed),
        overdue=case.is_overdue(now),
        facts=_facts_to_pb(case.facts),
        rulings=[_ruling_to_pb(ruling) for ruling in case.rulings],
    )
    message.entries.extend(_entry_to_pb(entry) for entry in case.entries)
    if case.stage_due is not None:
        message.stage_due_time.CopyFrom(instant_to_pb(case.stage_due.instant))
    if case.due is not None:
        message.ruling_due_time.CopyFrom(instant_to_pb(case.due.instant))
        message.ruling_due_provisional = case.due.provisional
    if case.closed is not None:
        message.close_time.CopyFrom(instant_to_pb(case.closed))
    return message


def issued_to_bytes(case: Case, *, now: Instant) -> bytes:
    """Return the answer of a step; it is kept for repeats, so it holds no reasons and no words.

    The answers of all steps have the same form: field 1 is the case.
    """
    message = case_to_pb(case, now=now)
    for ruling in message.rulings:
        ruling.ClearField("reasons")
    for entry in message.entries:
        entry.ClearField("words")
    return pb.IssueRulingResponse(case=message).SerializeToString()


# --- between nodes ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a party's statement says, before its words are opened."""

    case: str
    kind: CaseEntryKind
    author: str
    proposed: AuthorityCode | None
    legal_basis: str
    evidence: tuple[str, ...]


def file_to_bytes(case: Case) -> bytes:
    """Return a case as its arbiter signs it: the same bytes for every party, without words."""
    message = case_to_pb(case, now=case.filed)
    message.ClearField("overdue")  # that is the reader's clock
    for ruling in message.rulings:
        ruling.ClearField("reasons")
    for entry in message.entries:
        entry.ClearField("words")
    return message.SerializeToString(deterministic=True)


def case_file_to_bytes(content: bytes, *, commitment: bytes) -> bytes:
    """Return the body of a CaseFile."""
    message = pb.CaseFile(case=content, words_commitment=commitment)
    return message.SerializeToString(deterministic=True)


def case_file_of(body: bytes) -> tuple[bytes, bytes]:
    """Return the case and the commitment of a CaseFile's body.

    Raises:
        StatementMalformed: it is none, or breaks the limits.
    """
    message = checked(body, pb.CaseFile())
    return message.case, message.words_commitment


def case_of_file(content: bytes) -> Case:
    """Return the case that an arbiter signed, without words.

    Raises:
        StatementMalformed: it is none.
        VersionTooNew: it is in a state that this release does not have.
    """
    message = checked(content, pb.Case())
    if not _known(CaseState, message.state):
        raise VersionTooNew(kind="CaseFile", got=f"state {message.state}", expected="its states")
    if not _REVISION.fullmatch(message.etag):
        raise StatementMalformed(check=4, got="an etag that is no revision", expected="a number")
    due = message.HasField("ruling_due_time")
    return Case(
        key=CaseKey(AuthorityCode(message.scope), message.name.removeprefix("cases/")),
        revision=int(message.etag),
        ticket=TicketNumber(message.ticket),
        chain=message.chain,
        state=CaseState(_known(CaseState, message.state)),
        ground=CaseGround(_known(CaseGround, message.ground)),
        cause=message.cause,
        filers=_codes(message.filers),
        path=_codes(message.path),
        proposed_targets=_codes(message.proposed_targets),
        responsible=AuthorityCode(message.responsible),
        filed=instant_from_pb(message.file_time),
        due=(
            RulingDue(instant_from_pb(message.ruling_due_time), message.ruling_due_provisional)
            if due
            else None
        ),
        closed=instant_from_pb(message.close_time) if message.HasField("close_time") else None,
        facts=_facts_of(message.facts),
        rulings=tuple(_ruling_of(ruling) for ruling in message.rulings),
        stage_due=(
            RulingDue(instant_from_pb(message.stage_due_time))
            if message.HasField("stage_due_time")
            else None
        ),
        entries=tuple(_entry_of(entry) for entry in message.entries),
    )


def words_to_bytes(case: Case) -> bytes:
    """Return the words of a case that was opened: the block `case_words`.

    Of more than a block can hold the newest; a larger one would be refused, and nothing known.
    """
    texts = [(item.said, item.number, item.words, False) for item in case.entries]
    texts += [(item.issued, item.number, item.reasons, True) for item in case.rulings]
    message, size = pb.CaseWords(), 0
    for _, number, text, is_reason in sorted(texts, reverse=True):
        part = pb.CaseWords.Text(number=number, text=text)
        size += part.ByteSize() + FRAMING_BYTES
        if size > WORDS_BYTES_MAX:
            break
        (message.reasons if is_reason else message.words).append(part)
    message.words.sort(key=_number_of)
    message.reasons.sort(key=_number_of)
    return message.SerializeToString(deterministic=True)


def entry_words_to_bytes(entry: Entry) -> bytes:
    """Return the words of one entry: the block `case_words`."""
    message = pb.CaseWords(words=[pb.CaseWords.Text(number=1, text=entry.words)])
    return message.SerializeToString(deterministic=True)


def check_words(block: bytes) -> pb.CaseWords:
    """Return an opened block of words.

    Raises:
        StatementMalformed: it is none, or breaks the limits.
    """
    return checked(block, pb.CaseWords())


def with_words(case: Case, block: bytes) -> Case:
    """Return a case with the words and reasons of an opened block."""
    message = pb.CaseWords.FromString(block)
    words = {item.number: item.text for item in message.words}
    reasons = {item.number: item.text for item in message.reasons}
    return replace(
        case,
        entries=tuple(replace(item, words=words.get(item.number, "")) for item in case.entries),
        rulings=tuple(replace(item, reasons=reasons.get(item.number, "")) for item in case.rulings),
    )


def party_entry_to_bytes(case: Case, entry: Entry, *, commitment: bytes) -> bytes:
    """Return the body of what a party says to the arbiter."""
    message = pb.PartyEntry(
        case=case.key.case,
        author=entry.author,
        proposed_owner=entry.proposed or "",
        legal_basis=entry.legal_basis,
        evidence=entry.evidence,
        words_commitment=commitment,
    )
    return message.SerializeToString(deterministic=True)


def party_entry_of(body: bytes, kind: CaseEntryKind) -> tuple[Said, bytes]:
    """Return what a party's statement says and the commitment to its words.

    Raises:
        StatementMalformed: it is none, or breaks the limits.
    """
    message = checked(body, pb.PartyEntry())
    said = Said(
        case=message.case,
        kind=kind,
        author=message.author,
        proposed=AuthorityCode(message.proposed_owner) if message.proposed_owner else None,
        legal_basis=message.legal_basis,
        evidence=tuple(message.evidence),
    )
    return said, message.words_commitment


def said_entry(said: Said, party: AuthorityCode, words: str, *, now: Instant) -> Entry:
    """Return the entry of what a party said; `now` is the arbiter's clock."""
    return Entry(
        number=0,
        kind=said.kind,
        party=party,
        author=said.author,
        said=now,
        proposed=said.proposed,
        legal_basis=said.legal_basis,
        evidence=said.evidence,
        words=words,
    )


Parsed = TypeVar("Parsed", bound=Message)


def checked(raw: bytes, message: Parsed) -> Parsed:
    """Return bytes of another node as a message that keeps the standard's limits.

    Raises:
        StatementMalformed: they do not parse, or break a limit.
    """
    try:
        message.ParseFromString(raw)
        validate(message)
    except (DecodeError, FieldInvalid) as error:
        got = error.metadata["field"] if isinstance(error, FieldInvalid) else "no such message"
        raise StatementMalformed(
            check=4, got=f"{message.DESCRIPTOR.name}: {got}", expected="a message of the standard"
        ) from error
    return message


def _codes(given: Iterable[str]) -> tuple[AuthorityCode, ...]:
    return tuple(AuthorityCode(code) for code in given)


def _facts_of(message: pb.TicketFacts) -> TicketFacts:
    return TicketFacts(
        matter=message.matter,
        region=message.region,
        urgency=Urgency(_known(Urgency, message.urgency)),
        type=TicketType(_known(TicketType, message.type)),
        due_time=instant_from_pb(message.due_time) if message.HasField("due_time") else None,
    )


def _ruling_of(message: pb.CaseRuling) -> CaseRuling:
    return CaseRuling(
        number=message.number,
        kind=RulingKind(_known(RulingKind, message.kind)),
        target=AuthorityCode(message.target),
        legal_basis=message.legal_basis,
        offers_allowed=message.offers_allowed,
        mandates=_codes(message.mandates),
        ruler=message.ruler,
        issued=instant_from_pb(message.issue_time),
        taken=instant_from_pb(message.take_time) if message.HasField("take_time") else None,
    )


def _entry_of(message: pb.CaseEntry) -> Entry:
    return Entry(
        number=message.number,
        kind=CaseEntryKind(_known(CaseEntryKind, message.kind)),
        party=AuthorityCode(message.party),
        author=message.author,
        said=instant_from_pb(message.say_time),
        proposed=AuthorityCode(message.proposed_owner) if message.proposed_owner else None,
        legal_basis=message.legal_basis,
        attendees=tuple(message.attendees),
        evidence=tuple(message.evidence),
        upheld=message.upheld if message.kind == pb.CaseEntry.KIND_ANSWER else None,
    )


def _number_of(text: pb.CaseWords.Text) -> int:
    return text.number


# --- parts ------------------------------------------------------------------------------------


def _facts_to_pb(facts: TicketFacts) -> pb.TicketFacts:
    message = pb.TicketFacts(
        matter=facts.matter,
        region=facts.region,
        urgency=codes_pb2.Urgency.ValueType(facts.urgency),
        type=codes_pb2.TicketType.ValueType(facts.type),
    )
    if facts.due_time is not None:
        message.due_time.CopyFrom(instant_to_pb(facts.due_time))
    return message


def _ruling_to_pb(ruling: CaseRuling) -> pb.CaseRuling:
    message = pb.CaseRuling(
        number=ruling.number,
        kind=custody_pb2.Ruling.Kind.ValueType(ruling.kind),
        target=ruling.target,
        legal_basis=ruling.legal_basis,
        reasons=ruling.reasons,
        offers_allowed=ruling.offers_allowed,
        mandates=ruling.mandates,
        ruler=ruling.ruler,
        issue_time=instant_to_pb(ruling.issued),
    )
    if ruling.taken is not None:
        message.take_time.CopyFrom(instant_to_pb(ruling.taken))
    return message


def _entry_to_pb(entry: Entry) -> pb.CaseEntry:
    return pb.CaseEntry(
        number=entry.number,
        kind=pb.CaseEntry.Kind.ValueType(entry.kind),
        party=entry.party,
        author=entry.author,
        proposed_owner=entry.proposed or "",
        legal_basis=entry.legal_basis,
        attendees=entry.attendees,
        evidence=entry.evidence,
        upheld=bool(entry.upheld),
        words=entry.words,
        say_time=instant_to_pb(entry.said),
    )


def _known(table: type[Code], number: int) -> int:
    return number if number in table._value2member_map_ else 0
