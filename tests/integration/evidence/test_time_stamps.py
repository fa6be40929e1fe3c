"""Time stamps: asked of a real service, completed after an outage, judged by the verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.evidence.dossier import Check, Stamp, Verdict
from gateway.evidence.dossier_codec import read_evidence
from gateway.evidence.stamp_client import StampClient
from gateway.evidence.stamps import BACKOFF_FIRST, STAMP_INTERVAL, Stamper
from gateway.evidence.store import STAMPS
from gateway.kernel.errors import FieldInvalid, ResourceNotFound, SignatureInvalid
from gateway.kernel.ids import AuthorityCode, TicketNumber
from gateway.trust import timestamps
from gateway.trust.timestamps import StampJudge, load_roots
from tests.fixtures.time_stamping import OPENSSL, StampService
from tests.simulation.stage import Stage
from tests.unit.evidence.evidence_files import check, export, seal_all, stamped

pytestmark = pytest.mark.skipif(
    not (OPENSSL and timestamps.is_available()), reason="needs openssl and lubiao[timestamps]"
)
HOME = "120000"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[StampService]:
    made = StampService(tmp_path)
    await made.start()
    yield made
    await made.stop()


def a_stage() -> Stage:
    """Return a stage whose clock is that of the service: the present."""
    stage = Stage()
    stage.clock.present = datetime.now(UTC)
    stage.roster = stage._roster()  # keys that are valid now
    entries = {
        code: replace(
            entry,
            statement_keys=tuple(
                replace(key, valid_to=stage.clock.now() + timedelta(days=30))
                for key in entry.statement_keys
            ),
            sealing_keys=tuple(
                replace(key, valid_to=stage.clock.now() + timedelta(days=30))
                for key in entry.sealing_keys
            ),
        )
        for code, entry in stage.roster.authorities.items()
    }
    stage.roster = replace(stage.roster, authorities=entries)
    return stage


def a_stamper(stage: Stage, service: StampService) -> Stamper:
    node = stage.node_of(HOME)
    return Stamper(
        database=node.database,
        authorities=(AuthorityCode(HOME),),
        transport=StampClient(service.url).send,
        roots=load_roots(service.roots_path),
        clock=node.clock,
        machine_clock=node.clock,
    )


async def exported(stage: Stage, ticket: TicketNumber, service: StampService) -> bytes:
    """Return evidence with the roots that the node trusts."""
    raw = await export(stage, HOME, ticket)
    evidence = read_evidence(raw)
    roots = load_roots(service.roots_path)
    return stamped(stage, raw, *(replace(stamp, roots=roots) for stamp in evidence.stamps))


def judged(stage: Stage, raw: bytes, *roots: bytes) -> Verdict:
    return check(raw, rosters=(stage.roster,), judge=StampJudge(roots))


def remarks_of(verdict: Verdict) -> str:
    assert verdict.holds, verdict.flaw
    found = verdict.passed[Check.TIMESTAMPS.value - 1].remarks
    return " | ".join(remark.english for remark in found)


async def test_one_stamp_covers_every_entry_before_it(service: StampService) -> None:
    stage = a_stage()
    ticket = await stage.create(HOME)
    for _ in range(3):
        await seal_all(stage)
        await stage.change(HOME, ticket)
    await seal_all(stage)
    assert await a_stamper(stage, service).stamp_due() == 1
    assert service.asked == 1
    raw = await exported(stage, ticket, service)
    remarks = remarks_of(judged(stage, raw, *load_roots(service.roots_path)))
    assert "entries up to 4 are stamped" in remarks
    assert "pending" not in remarks


async def test_roots_of_the_file_are_said_to_be_its_own(service: StampService) -> None:
    stage = a_stage()
    ticket = await stage.create(HOME)
    await seal_all(stage)
    await a_stamper(stage, service).stamp_due()
    raw = await exported(stage, ticket, service)
    assert "come from the file itself" in remarks_of(judged(stage, raw))


async def test_a_service_that_is_down_for_days_stops_nothing(service: StampService) -> None:
    stage = a_stage()
    stamper = a_stamper(stage, service)
    ages: list[timedelta] = []
    stamper.measured = ages.append
    ticket = await stage.create(HOME)
    await seal_all(stage)
    service.state = 503
    for _ in range(60):  # three days, looked at every hour and a bit
        stage.clock.advance(timedelta(hours=1, minutes=12))
        assert await stamper.stamp_due() == 0
    assert ages[-1] > timedelta(days=2)
    await stage.change(HOME, ticket)
    raw = await exported(stage, ticket, service)
    assert "2 of 2 rows are pending" in remarks_of(judged(stage, raw))

    service.state = 200
    stage.clock.advance(timedelta(hours=1))
    assert await stamper.stamp_due() == 1
    assert ages[-1] == timedelta(0)


async def test_it_is_asked_once_an_hour_and_backs_off(service: StampService) -> None:
    stage = a_stage()
    stamper = a_stamper(stage, service)
    ticket = await stage.create(HOME)
    await seal_all(stage)
    await stamper.stamp_due()
    await stage.change(HOME, ticket)
    await seal_all(stage)
    assert await stamper.stamp_due() == 0
    assert service.asked == 1
    stage.clock.advance(STAMP_INTERVAL)
    service.state = 500
    await stamper.stamp_due()
    await stamper.stamp_due()
    assert service.asked == 2
    stage.clock.advance(BACKOFF_FIRST)
    await stamper.stamp_due()
    assert service.asked == 3
    stage.clock.advance(BACKOFF_FIRST)
    await stamper.stamp_due()
    assert service.asked == 3


async def test_a_restarted_stamper_goes_on_where_the_database_stands(
    service: StampService,
) -> None:
    stage = a_stage()
    await stage.create(HOME)
    await seal_all(stage)
    await a_stamper(stage, service).stamp_due()
    assert await a_stamper(stage, service).pending(AuthorityCode(HOME)) is None
    await stage.create(HOME)
    await seal_all(stage)
    assert await a_stamper(stage, service).pending(AuthorityCode(HOME)) is not None


async def test_an_answer_for_something_else_is_not_kept(
    service: StampService, tmp_path: Path
) -> None:
    stage = a_stage()
    await stage.create(HOME)
    await seal_all(stage)
    other = timestamps.ask(b"another digest")
    wrong = service.stamp(other.request)

    async def answer(_request: bytes) -> bytes:
        return wrong

    node = stage.node_of(HOME)
    stamper = Stamper(
        database=node.database,
        authorities=(AuthorityCode(HOME),),
        transport=answer,
        roots=load_roots(tmp_path / "root.pem"),
        clock=node.clock,
        machine_clock=node.clock,
    )
    assert await stamper.stamp_due() == 0
    assert not node.database.rows(STAMPS)


async def test_a_wrong_stamp_is_named(service: StampService) -> None:
    stage = a_stage()
    ticket = await stage.create(HOME)
    await seal_all(stage)
    roots = load_roots(service.roots_path)
    raw = await export(stage, HOME, ticket)
    entry = read_evidence(raw).entries[-1]
    other = service.stamp(timestamps.ask(b"another digest").request)
    flaw = judged(stage, stamped(stage, raw, Stamp(entry.sequence, other, roots))).flaw
    assert flaw is not None
    assert flaw.check is Check.TIMESTAMPS


async def test_a_stamp_of_a_stranger_is_named(service: StampService, tmp_path: Path) -> None:
    stage = a_stage()
    ticket = await stage.create(HOME)
    await seal_all(stage)
    await a_stamper(stage, service).stamp_due()
    raw = await exported(stage, ticket, service)
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger = StampService(folder)
    stranger.make_keys()
    flaw = judged(stage, raw, *load_roots(stranger.roots_path)).flaw
    assert flaw is not None
    assert flaw.check is Check.TIMESTAMPS


async def test_an_entry_that_claims_to_be_younger_than_its_stamp_is_named(
    service: StampService,
) -> None:
    stage = a_stage()
    stage.clock.advance(timedelta(hours=2))
    ticket = await stage.create(HOME)
    await seal_all(stage)
    await a_stamper(stage, service).stamp_due()
    flaw = judged(stage, await exported(stage, ticket, service)).flaw
    assert flaw is not None
    assert flaw.check is Check.TIMESTAMPS
    assert "later time" in flaw.what.english


async def test_no_bent_response_makes_the_judge_fail_otherwise_than_by_saying_no(
    service: StampService,
) -> None:
    roots = load_roots(service.roots_path)
    response = service.stamp(timestamps.ask(b"some digest").request)
    assert timestamps.judge(response, b"some digest", roots).tzinfo is UTC
    for place in range(0, len(response), 3):
        bent = response[:place] + bytes([response[place] ^ 0x21]) + response[place + 1 :]
        try:
            timestamps.judge(bent, b"some digest", roots)
        except SignatureInvalid:
            continue
        # What nobody signed (certificates that are not used, a text) proves nothing either.


async def test_roots_are_read_from_a_pem_file(service: StampService, tmp_path: Path) -> None:
    assert len(load_roots(service.roots_path)) == 1
    with pytest.raises(ResourceNotFound):
        load_roots(tmp_path / "nowhere.pem")
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(FieldInvalid):
        load_roots(tmp_path / "no.pem")
