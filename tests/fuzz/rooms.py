"""Targets of the rooms above delivery: cases and rules that a peer tells.

dispute   a case file, what a party says, and opened words
rules     a summary of a pack and the pack that is read out of it, reports about rules and
their answers, a publication, and the text of a signed pack
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from gateway.arbitration import exchange_codec, machine
from gateway.arbitration.case_codec import case_to_pb
from gateway.arbitration.model import Case, Entry, RulingDue
from gateway.kernel.codes import CaseEntryKind, CaseState, PublicationKind, RulingKind
from gateway.kernel.data import data_path
from gateway.publishing import codec, summaries
from gateway.publishing.model import Activation, Publication
from gateway.routing.conditions import cel_conditions
from gateway.routing.parse import parse_pack
from hotline.routing.v1 import publication_pb2 as routing_pb
from tests.fixtures.nodes import reference
from tests.unit.arbitration.builders import NOW, a_case, a_filing, a_ruling, an_order

PACK = "131000.langfang"
"""A pack of the project: its text, summary and publication are seeds."""


def dispute(data: bytes) -> None:
    """Read what arbiters and parties tell each other; the first byte chooses the form."""
    if not data:
        return
    raw = data[1:]
    match data[0] % 4:
        case 0:
            content, _ = exchange_codec.case_file_of(raw)
            case_to_pb(exchange_codec.case_of_file(content), now=NOW)
        case 1:
            case = exchange_codec.case_of_file(raw)
            machine.join(case, a_filing())
            _ = case.audience, case.ruling_proper, case.etag
        case 2:
            kind = CaseEntryKind.POSITION
            said, _ = exchange_codec.party_entry_of(raw, kind)
            exchange_codec.said_entry(said, "130100", "", now=NOW)
        case _:
            exchange_codec.check_words(raw)
            exchange_codec.with_words(_said_case(), raw)


def rules(data: bytes) -> None:
    """Read what is told of rules; the first byte chooses the form."""
    if not data:
        return
    raw = data[1:]
    match data[0] % 5:
        case 0:
            message = codec.parsed(raw, routing_pb.PackSummary())
            with suppress(*summaries._NO_DOCUMENT):
                _parse(summaries.source_of(PACK, [message.SerializeToString()]))
        case 1:
            codec.reason_of(codec.parsed(raw, routing_pb.MisrouteReport()))
        case 2:
            codec.resolution_of(codec.parsed(raw, routing_pb.MisrouteAnswer()))
        case 3:
            codec.publication_from_bytes(raw)
        case _:
            _parse(raw)


def _parse(source: bytes) -> None:
    parse_pack(source, name=PACK, reference=reference(), conditions=cel_conditions())


# --- seeds ------------------------------------------------------------------------------------


@cache
def _said_case() -> Case:
    entry = Entry(
        number=1,
        kind=CaseEntryKind.POSITION,
        party="130100",
        author="lubiao://130100/staff/s1",
        said=NOW,
        proposed="130600",
        legal_basis="职责清单（测试）",
        evidence=("cd" * 32,),
        words="测试陈述",
    )
    return a_case(
        state=CaseState.RULED,
        entries=(entry,),
        rulings=(a_ruling(1, an_order(RulingKind.REASSIGN)),),
        stage_due=RulingDue(NOW),
    )


def dispute_seeds() -> list[bytes]:
    """Return a case file, its case, a party's entry and words."""
    case = _said_case()
    content, words = exchange_codec.file_to_bytes(case), exchange_codec.words_to_bytes(case)
    commitment = bytes(32)
    return [
        b"\x00" + exchange_codec.case_file_to_bytes(content, commitment=commitment),
        b"\x01" + content,
        b"\x02" + exchange_codec.party_entry_to_bytes(case, case.entries[0], commitment=commitment),
        b"\x03" + words,
    ]


@cache
def rules_seeds() -> list[bytes]:
    """Return a summary in parts, a report, its answer, a publication and a pack's text."""
    source = (data_path("routing_rules/packs") / f"{PACK}.yaml").read_bytes()
    line = Activation(
        pack=PACK,
        sequence=1,
        version="ab" * 32,
        kind=PublicationKind.PUBLISH,
        effective=NOW,
    )
    misroute = "0198f2a0-0000-7000-8000-000000000001"
    report = routing_pb.MisrouteReport(
        misroute=misroute,
        reason=routing_pb.MISROUTE_REASON_GAP,
        pack=f"{PACK}@{line.version[:12]}",
        rule="synthetic",
        occurrences=1,
    )
    answer = routing_pb.MisrouteAnswer(
        misroute=misroute, resolution=routing_pb.MISROUTE_RESOLUTION_RULE_CHANGED
    )
    for message in (report.report_time, answer.answer_time):
        message.FromDatetime(NOW)
    publication = Publication(
        pack=PACK,
        version=line.version,
        owner="131000",
        kind=PublicationKind.PUBLISH,
        sequence=1,
        editor="lubiao://131000/staff/e1",
        approver="lubiao://131000/staff/a1",
        publisher="lubiao://131000/staff/a1",
        effective=NOW,
        previous="",
        expires=NOW,
    )
    return [
        *(b"\x00" + part for part in summaries.summary_bodies(line, source)),
        b"\x01" + report.SerializeToString(),
        b"\x02" + answer.SerializeToString(),
        b"\x03" + codec.publication_to_bytes(publication),
        b"\x04" + source,
    ]
