"""Evidence over the service: a file in chunks, and content only for whom it may be."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.audit.store import ENTRIES
from gateway.evidence.dossier import Check
from gateway.evidence.dossier_codec import read_evidence
from gateway.evidence.verify import NamedFile, verify_files
from gateway.kernel.errors import FieldInvalid, PurposeMissing
from gateway.tickets.store import CONTENTS
from hotline.custody.v1 import custody_pb2
from hotline.custody.v1 import custody_service_pb2 as pb
from tests.contract.transfers.test_transfers import (
    CONTEXT,
    a_desk,
    a_ticket_at_the_desk,
    an_id,
    an_offer,
)
from tests.fixtures.nodes import Federation, a_federation


async def exported(federation: Federation, authority: str, name: str, **wish: Any) -> bytes:
    request = pb.ExportCustodyRequest(parent=name, **wish)
    answer = a_desk(federation, authority).ExportCustody(request, CONTEXT)
    return b"".join([part.chunk async for part in answer])


async def a_hand_over(federation: Federation) -> str:
    name = await a_ticket_at_the_desk(federation)
    transfer = await an_offer(federation, name)
    await a_desk(federation, "130000").AcceptTransfer(
        pb.AcceptTransferRequest(name=transfer, request_id=an_id()), CONTEXT
    )
    await federation.settle()
    return name


def verdict_on(federation: Federation, *files: bytes) -> Any:
    named = [NamedFile(str(number), raw) for number, raw in enumerate(files)]
    return verify_files(named, (federation.roster,))


async def purge(federation: Federation, authority: str) -> None:
    """Destroy the keys of every copy's texts."""
    database = federation.node_of(authority).database
    async with database.unit() as uow:
        for row in database.rows(CONTENTS):  # type: ignore[attr-defined] # the in-memory engine
            uow.delete(CONTENTS, row.authority, row.number)


async def test_both_sides_export_files_that_agree() -> None:
    federation = a_federation()
    name = await a_hand_over(federation)
    files = [await exported(federation, code, name) for code in ("120000", "130000")]
    verdict = verdict_on(federation, *files)
    assert verdict.holds, verdict.flaw
    assert not any(read_evidence(raw).tickets[0].contents for raw in files)


async def test_content_opens_the_commitment_of_the_offer() -> None:
    federation = a_federation()
    name = await a_hand_over(federation)
    raw = await exported(federation, "120000", name, with_content=True, purpose="dispute")
    verdict = verdict_on(federation, raw)
    assert verdict.holds, verdict.flaw
    assert verdict.passed[Check.CONTENT.value - 1].examined >= 1
    contents = read_evidence(raw).tickets[0].contents
    assert {opened.kind for opened in contents} == {"case_block"}
    block = custody_pb2.CaseBlock.FromString(contents[0].block)
    assert block.content.title


async def test_reading_content_is_in_the_audit_log_with_its_purpose() -> None:
    federation = a_federation()
    name = await a_hand_over(federation)
    await exported(federation, "120000", name, with_content=True, purpose="dispute")
    rows = federation.node_of("120000").database.rows(ENTRIES)  # type: ignore[attr-defined] # in memory
    [entry] = [row for row in rows if row.act == "custody.export_content"]
    assert (entry.subject, entry.purpose) == (name, "dispute")


async def test_content_without_a_purpose_is_refused() -> None:
    federation = a_federation()
    name = await a_hand_over(federation)
    with pytest.raises(PurposeMissing):
        await exported(federation, "120000", name, with_content=True)


async def test_after_a_purge_everything_still_verifies_and_nothing_opens() -> None:
    """I10: what remains proves who held the ticket when, not what it said."""
    federation = a_federation()
    name = await a_hand_over(federation)
    await purge(federation, "120000")
    raw = await exported(federation, "120000", name, with_content=True, purpose="dispute")
    assert not read_evidence(raw).tickets[0].contents
    verdict = verdict_on(federation, raw)
    assert verdict.holds, verdict.flaw


async def test_a_day_that_is_none_is_refused() -> None:
    federation = a_federation()
    with pytest.raises(FieldInvalid):
        await exported(
            federation, "120000", "tickets/-", first_day="2026-02-30", last_day="2026-03-01"
        )
