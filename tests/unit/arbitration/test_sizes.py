"""A case file of the greatest size still fits into the envelope that carries it to a party."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gateway.arbitration import exchange_codec as codec
from gateway.arbitration import procedure
from gateway.arbitration.model import (
    ENTRIES_PER_PARTY_MAX,
    RULINGS_PER_CASE_MAX,
    Case,
    Entry,
)
from gateway.delivery.model import STATEMENT_BYTES_MAX
from gateway.kernel.codes import CaseEntryKind, CaseState
from gateway.kernel.errors import QuotaExceeded, StatementMalformed, VersionTooNew
from gateway.kernel.ids import AuthorityCode
from hotline.arbitration.v1 import case_pb2, statements_pb2
from tests.unit.arbitration.builders import HEBEI, LANGFANG, NOW, a_case, a_ruling

BLOCK_BYTES_MAX = 262_144  # of the standard; a sealed block is a little longer than its content
SEAL_BYTES = 1024
LONG = "测" * 4000
CLAUSE = "据" * 400


def an_entry(kind: CaseEntryKind, party: str, minute: int) -> Entry:
    return Entry(
        number=0,
        kind=kind,
        party=AuthorityCode(party),
        author=f"lubiao://{party}/staff/" + "s" * 60,
        said=NOW + timedelta(minutes=minute),
        proposed=LANGFANG,
        legal_basis=CLAUSE,
        evidence=tuple(f"{number:064x}" for number in range(16)),
        attendees=("PROVINCE",) * 32 if kind is CaseEntryKind.MINUTES else (),
        words=LONG,
    )


def fullest() -> Case:
    """Return a case in which everybody said as much as they may, and the panel too."""
    case = a_case(state=CaseState.CONFERENCE)
    for number in range(96 * ENTRIES_PER_PARTY_MAX):
        entry = an_entry(CaseEntryKind.POSITION, f"13{number % 96:02d}00", number)
        try:
            case = procedure.say(case, entry, stage_due=lambda _state: None)
        except QuotaExceeded:
            break
    for number in range(ENTRIES_PER_PARTY_MAX):
        entry = an_entry(CaseEntryKind.MINUTES, HEBEI, 1000 + number)
        case = procedure.say(case, entry, stage_due=lambda _state: None)
    for number in range(1, RULINGS_PER_CASE_MAX + 1):
        issued = NOW + timedelta(minutes=2000 + number)
        case = case.with_ruling(
            replace(a_ruling(number), reasons=LONG, legal_basis=CLAUSE, issued=issued)
        )
    return case


def test_the_file_of_the_fullest_case_is_a_statement() -> None:
    body = codec.case_file_to_bytes(codec.file_to_bytes(fullest()), commitment=b"c" * 32)
    assert len(body) < STATEMENT_BYTES_MAX - SEAL_BYTES


def test_of_too_many_words_the_newest_go_along() -> None:
    case = fullest()
    block = codec.words_to_bytes(case)
    assert len(block) < BLOCK_BYTES_MAX - SEAL_BYTES
    words = codec.check_words(block)
    assert [item.number for item in words.reasons] == list(range(1, RULINGS_PER_CASE_MAX + 1))
    assert [item.number for item in words.words][-1] == len(case.entries)
    shown = codec.with_words(case, block)
    assert shown.entries[-1].words == LONG
    assert shown.entries[0].words == ""


def test_parties_cannot_keep_the_panel_from_its_minutes() -> None:
    kinds = [entry.kind for entry in fullest().entries]
    assert kinds.count(CaseEntryKind.MINUTES) == ENTRIES_PER_PARTY_MAX


def test_of_few_words_all_go_along() -> None:
    case = a_case(state=CaseState.CONFERENCE)
    entry = an_entry(CaseEntryKind.POSITION, HEBEI, 1)
    case = procedure.say(case, entry, stage_due=lambda _state: None)
    assert statements_pb2.CaseWords.FromString(codec.words_to_bytes(case)).words[0].text == LONG


def test_a_file_of_a_later_release_waits_for_it() -> None:
    content = case_pb2.Case.FromString(codec.file_to_bytes(a_case()))
    content.state = 99  # type: ignore[assignment] # of no state of this release
    with pytest.raises(VersionTooNew):
        codec.case_of_file(content.SerializeToString())


def test_a_revision_beyond_all_bounds_is_no_revision() -> None:
    content = case_pb2.Case.FromString(codec.file_to_bytes(a_case()))
    content.etag = "9" * 30
    with pytest.raises(StatementMalformed):
        codec.case_of_file(content.SerializeToString())
