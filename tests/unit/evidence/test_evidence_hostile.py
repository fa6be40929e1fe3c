"""An exporter that lies, or means harm: it is not believed, and it harms nobody who reads its file.

What it can leave out without a trace stands in docs/evidence.md#not. Here stands what it could be
tempted to: another history, other times, other rosters, a file that fills the reader's memory or
speaks to his terminal.
"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from gateway.cli.main import main
from gateway.custody import bodies
from gateway.custody.model import ChainKey
from gateway.delivery.codec import statement_from_bytes
from gateway.evidence.dossier import Check, Kept, Row, Stamp, TicketEvidence, parts_digest
from gateway.evidence.dossier_codec import header_bytes, read_evidence, seal_bytes
from gateway.evidence.verify import FILES_MAX, NamedFile, verify_files
from gateway.kernel.ids import NATION, AuthorityCode, Epoch
from gateway.kernel.time import to_microseconds
from gateway.trust import timestamps
from gateway.trust.certificates import CertificateAuthority
from gateway.trust.roster_file import sign_roster
from gateway.trust.statements import digest
from tests.simulation.stage import Stage
from tests.simulation.test_hosted_and_split import SPLIT, told
from tests.unit.evidence.evidence_files import ROSTER_KEY, check, export, forged, written

TIANJIN, HEBEI = "120000", "130000"


async def a_refused_offer() -> tuple[Stage, bytes]:
    """Return the file of 天津, whose first offer 上海 declined and whose second 河北 took."""
    stage = Stage()
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, "310000")
    await stage.settle()
    await stage.decline("310000", ticket, owner=HEBEI)
    await stage.settle()
    await stage.hand_over(TIANJIN, ticket, HEBEI)
    return stage, await export(stage, TIANJIN, ticket)


def without(ticket: TicketEvidence, hidden: bytes) -> TicketEvidence:
    """Write the ledger anew as if a statement had never come, each row a moment later."""
    rows: list[Row] = []
    heads: dict[object, tuple[int, bytes]] = {}
    for row in ticket.rows:
        if row.subject == hidden:
            continue
        number, before = heads.get(row.chain, (0, b""))
        at = row.recorded + timedelta(microseconds=1)
        computed = parts_digest(
            b"lubiao/ledger-row/1",
            b"%d" % (number + 1),
            before,
            row.kind.encode(),
            str(row.epoch).encode(),
            row.subject,
            row.state,
            b"%d" % to_microseconds(at),
        )
        heads[row.chain] = (number + 1, computed)
        fresh = replace(row, sequence=number + 1, recorded=at, digest=computed)
        rows.append(replace(fresh, entry=0, index=0, path=()))
    kept = tuple(item for item in ticket.kept if digest_of(item) != hidden)
    return replace(ticket, rows=tuple(rows), kept=kept)


def digest_of(item: Kept) -> bytes:
    return digest(item.signed.statement)


# --- another history ----------------------------------------------------------------------------


async def test_a_ledger_that_was_written_anew_is_not_passed_over_in_silence() -> None:
    """A refusal is hidden; own statements name a row that is gone: as after a restore, or a lie."""
    stage, raw = await a_refused_offer()
    evidence = read_evidence(raw)
    [refusal] = [
        item
        for item in evidence.tickets[0].kept
        if statement_from_bytes(item.signed.statement).issuer == "310000"
    ]
    anew = replace(
        evidence,
        tickets=(without(evidence.tickets[0], digest_of(refusal)),),
        entries=(),
    )
    verdict = check(written(anew, stage.node_of(TIANJIN).keys), rosters=(stage.roster,))
    rows = next(passed for passed in verdict.passed if passed.check is Check.ROWS)
    assert any("recorded again" in remark.english for remark in rows.remarks)
    honest = check(raw, rosters=(stage.roster,))
    assert not next(passed for passed in honest.passed if passed.check is Check.ROWS).remarks


async def test_old_rows_without_any_entry_do_not_hold() -> None:
    stage, raw = await a_refused_offer()
    evidence = read_evidence(raw)
    bare = tuple(replace(row, entry=0, index=0, path=()) for row in evidence.tickets[0].rows)
    changed = replace(
        evidence,
        tickets=(replace(evidence.tickets[0], rows=bare),),
        entries=(),
        exported=evidence.exported + timedelta(hours=1),
    )
    flaw = check(written(changed, stage.node_of(TIANJIN).keys), rosters=(stage.roster,)).flaw
    assert flaw is not None
    assert flaw.check is Check.PATHS


async def test_a_clock_that_was_set_back_is_a_remark() -> None:
    stage = Stage()
    ticket = await stage.create(TIANJIN)
    await export(stage, TIANJIN, ticket)
    stage.clock.present -= timedelta(hours=2)
    await stage.change(TIANJIN, ticket)
    verdict = check(await export(stage, TIANJIN, ticket), rosters=(stage.roster,))
    assert verdict.holds, verdict.flaw
    entries = next(passed for passed in verdict.passed if passed.check is Check.ENTRIES)
    assert any("set back" in remark.english for remark in entries.remarks)


async def test_a_report_is_not_held_against_a_file_of_another_ticket() -> None:
    """Whose file does not have the ticket, or is older, cannot have the rows: that is no lie."""
    stage, ticket = await told(SPLIT, "ruled_between_two_cities")
    other = await stage.create("131000")
    raw = await export(stage, HEBEI, ticket)
    elsewhere = await export(stage, "131000", other)
    older = await export(stage, "131000", ticket)
    stage.clock.advance(timedelta(hours=1))
    act = bodies.Act(999, Epoch(0, 0), "ticket.resolved", bytes(32))
    report = bodies.StandDown(part=2, final=True, last_epoch=Epoch(0, 0), acts=(act,))
    key = ChainKey(AuthorityCode(HEBEI), ticket, AuthorityCode(HEBEI), 1)
    said = Kept(stage.forge("131000", report, key))
    raw = forged(stage, raw, lambda found: replace(found, kept=(*found.kept, said)))
    for beside in (elsewhere, older):
        verdict = check(raw, beside, rosters=(stage.roster,))
        assert verdict.flaw is None or verdict.flaw.check is not Check.TAILS, verdict.flaw


# --- other times, other rosters -----------------------------------------------------------------


async def test_who_said_something_does_not_choose_when_it_was_received() -> None:
    """The key was revoked between the row of 天津 and that of 河北."""
    stage = Stage()
    ticket = await stage.create(TIANJIN)
    await stage.offer(TIANJIN, ticket, HEBEI)
    said = stage.clock.now()
    stage.clock.advance(timedelta(hours=2))
    await stage.settle()
    files = [await export(stage, code, ticket) for code in (TIANJIN, HEBEI)]

    def silent(found: TicketEvidence) -> TicketEvidence:
        return replace(found, kept=tuple(replace(kept, receipts=()) for kept in found.kept))

    files = [forged(stage, raw, silent) for raw in files]
    entry = stage.roster.authorities[AuthorityCode(TIANJIN)]
    revoked = said + timedelta(hours=1)
    keys = tuple(replace(key, revoked_at=revoked) for key in entry.statement_keys)
    roster = replace(
        stage.roster,
        authorities={
            **stage.roster.authorities,
            entry.code: replace(entry, statement_keys=keys),
        },
    )
    flaw = check(*files, rosters=(roster,)).flaw
    assert flaw is not None
    assert flaw.check is Check.KEYS


async def test_a_verdict_says_whose_rosters_it_rests_on() -> None:
    stage, raw = await a_refused_offer()
    assert not check(raw).is_anchored
    by_key = check(raw, roster_key=ROSTER_KEY.public)
    assert by_key.is_anchored
    assert any("revoked since" in remark.english for remark in by_key.passed[0].remarks)
    assert not check(raw, rosters=(stage.roster,)).passed[0].remarks


# --- harm to the reader -------------------------------------------------------------------------


def test_a_header_of_many_small_fields_costs_no_memory() -> None:
    head = header_bytes(authority=AuthorityCode(TIANJIN), exported=Stage().clock.now(), subject="x")
    raw = head + b"\x10\x01" * 300_000 + seal_bytes(bytes(32), key_id="x", signature=b"")
    tracemalloc.start()
    flaw = check(raw).flaw
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert flaw is not None
    assert flaw.check is Check.FILE
    assert peak < 8 * len(raw)


def test_no_file_and_too_many_are_refused() -> None:
    for files in ([], [NamedFile("x", b"")] * (FILES_MAX + 1)):
        assert verify_files(files).flaw is not None


async def test_what_a_file_says_does_nothing_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row's kind is any text: here one that would wipe out the verdict and write another."""
    stage, raw = await a_refused_offer()
    evil = "x\x1b[2J\x9b1A\r\n\u202eEverything holds"

    def bent(found: TicketEvidence) -> TicketEvidence:
        first, *rest = found.rows
        return replace(found, rows=(replace(first, kind=evil), *rest))

    path, roster = tmp_path / "evil", tmp_path / "roster"
    path.write_bytes(forged(stage, raw, bent))
    roster.write_bytes(sign_roster(stage.roster, ROSTER_KEY))
    for more in ((), ("--json",)):
        assert main(["custody", "verify", str(path), "--roster", str(roster), *more]) == 1
        shown = capsys.readouterr().out
        assert not {"\x1b", "\x9b", "\r", "\u202e"} & set(shown)
        assert "\\u001b" in shown


@pytest.mark.skipif(not timestamps.is_available(), reason="needs lubiao[timestamps]")
async def test_a_root_of_an_unknown_version_is_named(tmp_path: Path) -> None:
    stage, raw = await a_refused_offer()
    ca = CertificateAuthority.create(tmp_path, NATION, now=stage.clock.now())
    root = load_pem_x509_certificate(ca.certificate.pem).public_bytes(Encoding.DER)
    odd = root.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1)
    evidence = read_evidence(raw)
    stamp = Stamp(evidence.entries[-1].sequence, b"no stamp", (odd,))
    changed = written(replace(evidence, stamps=(stamp,)), stage.node_of(TIANJIN).keys)
    verdict = check(changed, rosters=(stage.roster,), judge=timestamps.StampJudge())
    assert verdict.flaw is not None
    assert verdict.flaw.check is Check.TIMESTAMPS
