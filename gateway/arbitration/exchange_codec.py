"""What arbiters and parties on different nodes tell each other ↔ values."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from gateway.arbitration.case_codec import case_of, case_to_pb, known_code
from gateway.arbitration.model import (
    Case,
    Entry,
    Party,
)
from gateway.kernel.codes import (
    CaseEntryKind,
    CaseState,
)
from gateway.kernel.errors import FieldInvalid, StatementMalformed, VersionTooNew
from gateway.kernel.time import Instant
from gateway.kernel.validation import validate
from hotline.arbitration.v1 import case_pb2, statements_pb2

WORDS_BYTES_MAX = 256_000  # of all words; sealed and salted they stay below a block's 256 KiB
FRAMING_BYTES = 8  # of one text, at most
_REVISION = re.compile(r"[0-9]{1,18}")
Parsed = TypeVar("Parsed", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a party's statement says, before its words are opened."""

    case: str
    kind: CaseEntryKind
    author: str
    proposed: Party | None
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
    message = statements_pb2.CaseFile(case=content, words_commitment=commitment)
    return message.SerializeToString(deterministic=True)


def case_file_of(body: bytes) -> tuple[bytes, bytes]:
    """Return the case and the commitment of a CaseFile's body.

    Raises:
        StatementMalformed: it is none, or breaks the limits.
    """
    message = checked(body, statements_pb2.CaseFile())
    return message.case, message.words_commitment


def case_of_file(content: bytes) -> Case:
    """Return the case that an arbiter signed, without words.

    Raises:
        StatementMalformed: it is none.
        VersionTooNew: it is in a state that this release does not have.
    """
    message = checked(content, case_pb2.Case())
    if not known_code(CaseState, message.state):
        raise VersionTooNew(kind="CaseFile", got=f"state {message.state}", expected="its states")
    if not _REVISION.fullmatch(message.etag):
        raise StatementMalformed(check=4, got="an etag that is no revision", expected="a number")
    return case_of(message)


def words_to_bytes(case: Case) -> bytes:
    """Return the words of a case that was opened: the block `case_words`.

    Of more than a block can hold the newest; a larger one would be refused, and nothing known.
    """
    texts = [(item.said, item.number, item.words, False) for item in case.entries]
    texts += [(item.issued, item.number, item.reasons, True) for item in case.rulings]
    message, size = statements_pb2.CaseWords(), 0
    for _, number, text, is_reason in sorted(texts, reverse=True):
        part = statements_pb2.CaseWords.Text(number=number, text=text)
        size += part.ByteSize() + FRAMING_BYTES
        if size > WORDS_BYTES_MAX:
            break
        (message.reasons if is_reason else message.words).append(part)
    message.words.sort(key=_number_of)
    message.reasons.sort(key=_number_of)
    return message.SerializeToString(deterministic=True)


def entry_words_to_bytes(entry: Entry) -> bytes:
    """Return the words of one entry: the block `case_words`."""
    message = statements_pb2.CaseWords(
        words=[statements_pb2.CaseWords.Text(number=1, text=entry.words)]
    )
    return message.SerializeToString(deterministic=True)


def check_words(block: bytes) -> statements_pb2.CaseWords:
    """Return an opened block of words.

    Raises:
        StatementMalformed: it is none, or breaks the limits.
    """
    return checked(block, statements_pb2.CaseWords())


def with_words(case: Case, block: bytes) -> Case:
    """Return a case with the words and reasons of an opened block."""
    message = statements_pb2.CaseWords.FromString(block)
    words = {item.number: item.text for item in message.words}
    reasons = {item.number: item.text for item in message.reasons}
    return replace(
        case,
        entries=tuple(replace(item, words=words.get(item.number, "")) for item in case.entries),
        rulings=tuple(replace(item, reasons=reasons.get(item.number, "")) for item in case.rulings),
    )


def party_entry_to_bytes(case: Case, entry: Entry, *, commitment: bytes) -> bytes:
    """Return the body of what a party says to the arbiter."""
    message = statements_pb2.PartyEntry(
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
    message = checked(body, statements_pb2.PartyEntry())
    said = Said(
        case=message.case,
        kind=kind,
        author=message.author,
        proposed=message.proposed_owner or None,
        legal_basis=message.legal_basis,
        evidence=tuple(message.evidence),
    )
    return said, message.words_commitment


def said_entry(said: Said, party: Party, words: str, *, now: Instant) -> Entry:
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


def _number_of(text: statements_pb2.CaseWords.Text) -> int:
    return text.number
