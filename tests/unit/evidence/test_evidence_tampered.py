"""What was changed in an evidence file is found and named, whoever changed it.

A stranger cannot seal a file again, so any flipped bit anywhere is found. The exporting authority
itself can: what it changes is found by the step whose business it is. What it leaves out can only
be found where something else speaks of it (docs/evidence.md#not).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.custody import bodies, codec
from gateway.custody.model import ChainKey, Opened, Verdict
from gateway.delivery.codec import statement_from_bytes, statement_to_bytes
from gateway.delivery.model import SignedBytes
from gateway.evidence import dossier
from gateway.evidence.dossier import Check, Kept, Row, TicketEvidence
from gateway.evidence.dossier_codec import (
    entry_bytes,
    header_bytes,
    read_evidence,
    seal_bytes,
    stamp_bytes,
    ticket_bytes,
)
from gateway.evidence.verdict import FlawOf
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import NATION, AuthorityCode, Epoch
from gateway.trust import timestamps
from gateway.trust.roster import Roster
from gateway.trust.statements import digest, sign
from tests.simulation.stage import Stage
from tests.simulation.test_hosted_and_split import SPLIT, told
from tests.unit.evidence.evidence_files import check, export, forged, written

Change = Callable[[TicketEvidence], TicketEvidence]


def with_more(kept: Kept) -> Change:
    """Return a change that adds a statement."""
    return lambda ticket: replace(ticket, kept=(*ticket.kept, kept))


async def a_hand_over(*, with_ruling: bool = False) -> tuple[Stage, dict[str, bytes], str]:
    """Return a stage, and the files of both sides of a hand-over."""
    stage = Stage()
    ticket = await stage.create("120000")
    await stage.offer("120000", ticket, "310000")
    await stage.settle()
    await stage.decline("310000", ticket, owner="130000")
    await stage.settle()
    await stage.hand_over("120000", ticket, "130000")
    await stage.change("130000", ticket)
    await stage.settle()
    sides = ["120000", "130000"]
    if with_ruling:
        await stage.file("120000", ticket, target="310000")
        await stage.settle()
        await stage.rule(ticket, "310000", case=stage.filed[-1].case)
        await stage.settle()
        sides += ["310000", NATION]
    return stage, {code: await export(stage, code, ticket) for code in sides}, ticket


def flaw_of(*files: bytes, roster: Roster) -> FlawOf[Check]:
    verdict = check(*files, rosters=(roster,))
    assert verdict.flaw is not None, "the change was not noticed"
    return verdict.flaw


# --- by a stranger ------------------------------------------------------------------------------


async def test_any_flipped_bit_is_found() -> None:
    stage, files, _ = await a_hand_over()
    raw = files["130000"]
    found = read_evidence(raw).seal
    seal = len(raw) - len(
        seal_bytes(found.digest, key_id=found.key_id, signature=found.signature)
    )  # every bit of the seal, and some of everything before it
    dice = random.Random(7)  # a fixed choice; not for secrets
    bits = [*dice.sample(range(seal * 8), 200), *range(seal * 8, len(raw) * 8)]
    for bit in bits:
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        verdict = check(bytes(changed), rosters=(stage.roster,))
        assert not verdict.holds, f"bit {bit} of {len(raw) * 8}"


async def test_a_file_cut_anywhere_is_found() -> None:
    stage, files, _ = await a_hand_over()
    raw = files["130000"]
    for end in [*range(0, 300, 7), *range(300, len(raw), 611), len(raw) - 1]:
        verdict = check(raw[:end], rosters=(stage.roster,))
        assert not verdict.holds, end
        assert not verdict.terms


async def test_bytes_after_the_seal_are_found() -> None:
    stage, files, _ = await a_hand_over()
    raw = files["130000"]
    for more in (b"\0", b"\x10\x01", raw):
        assert flaw_of(raw + more, roster=stage.roster).check is Check.FILE


@given(st.binary(max_size=400))
def test_no_bytes_make_the_reader_fail_otherwise_than_by_saying_no(raw: bytes) -> None:
    assert not check(raw).holds


@given(st.data())
def test_no_bytes_within_a_part_make_the_verifier_fail(data: st.DataObject) -> None:
    raw = bytearray(_small_file())
    begin = data.draw(st.integers(0, len(raw) - 1))
    some = data.draw(st.binary(min_size=1, max_size=40))
    raw[begin : begin + data.draw(st.integers(0, 40))] = some
    if bytes(raw) != _small_file():
        assert not check(bytes(raw)).holds


@cache
def _small_file() -> bytes:
    import asyncio  # noqa: PLC0415 # hypothesis calls tests that are not coroutines

    async def make() -> bytes:
        stage = Stage()
        return await export(stage, "120000", await stage.create("120000"))

    return asyncio.run(make())


def test_a_file_that_claims_much_is_refused_before_it_is_parsed() -> None:
    head = header_bytes(
        authority=AuthorityCode("120000"), exported=Stage().clock.now(), subject="tickets/x"
    )
    empty_rows = b"\x12\x00" * 200_000  # two bytes a row
    ticket = b"\x3a" + _varint(len(empty_rows)) + empty_rows
    many = b"\x3a\x00" * (dossier.TICKETS_MAX + 1)
    seal = seal_bytes(bytes(32), key_id="x", signature=b"")
    for part in (ticket, many, b"\x32\x00" * (dossier.ROSTERS_MAX + 1)):
        flaw = check(head + part + seal).flaw
        assert flaw is not None
        assert flaw.check is Check.FILE


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


# --- by the exporting authority -----------------------------------------------------------------


def on_row(kind: str, change: Callable[[Row], Row | None]) -> Change:
    """Return a change of the first outer row of a kind; None takes it away."""

    def changed(ticket: TicketEvidence) -> TicketEvidence:
        place = next(
            index
            for index, row in enumerate(ticket.rows)
            if row.kind == kind and row.chain.scope == NATION
        )
        new = change(ticket.rows[place])
        rows = (*ticket.rows[:place], *((new,) if new else ()), *ticket.rows[place + 1 :])
        return replace(ticket, rows=rows)

    return changed


def on_statement(kind: str, change: Callable[[Kept], Kept | None], *, which: int = 0) -> Change:
    """Return a change of a kept statement of a kind; None takes it away."""

    def changed(ticket: TicketEvidence) -> TicketEvidence:
        places = [
            index
            for index, kept in enumerate(ticket.kept)
            if statement_from_bytes(kept.signed.statement).kind == kind
        ]
        new = change(ticket.kept[places[which]])
        kept = list(ticket.kept)
        kept[places[which] : places[which] + 1] = [new] if new else []
        return replace(ticket, kept=tuple(kept))

    return changed


def swapped_receipts(ticket: TicketEvidence) -> TicketEvidence:
    with_some = [index for index, kept in enumerate(ticket.kept) if kept.receipts]
    first, second = with_some[0], with_some[1]
    kept = list(ticket.kept)
    kept[first], kept[second] = (
        replace(kept[first], receipts=kept[second].receipts),
        replace(kept[second], receipts=kept[first].receipts),
    )
    return replace(ticket, kept=tuple(kept))


def _bent(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


CHANGES: dict[str, tuple[Check, Change]] = {
    "a bit of a statement": (
        Check.SIGNATURES,
        on_statement(
            "Answer",
            lambda kept: replace(
                kept, signed=replace(kept.signed, statement=_bent(kept.signed.statement))
            ),
        ),
    ),
    "a bit of a signature": (
        Check.SIGNATURES,
        on_statement(
            "Offer",
            lambda kept: replace(
                kept, signed=replace(kept.signed, signature=_bent(kept.signed.signature))
            ),
        ),
    ),
    "another key": (
        Check.SIGNATURES,
        on_statement(
            "Offer", lambda kept: replace(kept, signed=replace(kept.signed, key_id="0" * 32))
        ),
    ),
    "a statement twice": (
        Check.SIGNATURES,
        lambda ticket: replace(ticket, kept=(*ticket.kept, ticket.kept[0])),
    ),
    "a missing statement": (Check.ROWS, on_statement("Answer", lambda _: None)),
    "a missing row": (Check.ROWS, on_row("Answer", lambda _: None)),
    "the last row away": (Check.ROWS, lambda ticket: replace(ticket, rows=ticket.rows[:-1])),
    "a row's kind": (Check.ROWS, on_row("Answer", lambda row: replace(row, kind="Offer"))),
    "a row's epoch": (Check.ROWS, on_row("Answer", lambda row: replace(row, epoch=Epoch(0, 7)))),
    "a row's time": (
        Check.ROWS,
        on_row("Answer", lambda row: replace(row, recorded=row.recorded + timedelta(seconds=1))),
    ),
    "a row's subject": (
        Check.ROWS,
        on_row("Answer", lambda row: replace(row, subject=_bent(row.subject))),
    ),
    "a row's state": (
        Check.ROWS,
        on_row("Offer", lambda row: replace(row, state=_bent(row.state))),
    ),
    "a row's digest": (
        Check.ROWS,
        on_row("Offer", lambda row: replace(row, digest=_bent(row.digest))),
    ),
    "another entry": (Check.PATHS, on_row("Offer", lambda row: replace(row, entry=99))),
    "another leaf": (Check.PATHS, on_row("Offer", lambda row: replace(row, index=row.index + 1))),
    "a bit of a path": (
        Check.PATHS,
        on_row("Offer", lambda row: replace(row, path=(_bent(row.path[0]), *row.path[1:]))),
    ),
    "a path cut short": (
        Check.PATHS,
        on_row("Offer", lambda row: replace(row, path=row.path[:-1])),
    ),
    "receipts swapped": (Check.RECEIPTS, swapped_receipts),
    "a bit of a receipt": (
        Check.RECEIPTS,
        on_statement(
            "Offer",
            lambda kept: replace(kept, receipts=tuple(map(_late_bent, kept.receipts))),
        ),
    ),
}


def _late_bent(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


@pytest.mark.parametrize("name", CHANGES)
async def test_what_its_own_authority_changed_is_named(name: str) -> None:
    stage, files, _ = await a_hand_over()
    expected, change = CHANGES[name]
    flaw = flaw_of(forged(stage, files["120000"], change), roster=stage.roster)
    assert flaw.check is expected, flaw


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        (Check.ENTRIES, lambda entry: replace(entry, previous=_bent(entry.previous))),
        (Check.PATHS, lambda entry: replace(entry, root=_bent(entry.root))),
        (Check.PATHS, lambda entry: replace(entry, rows=entry.rows + 64)),
        (Check.ENTRIES, lambda entry: replace(entry, digest=_bent(entry.digest))),
        (Check.ENTRIES, lambda entry: replace(entry, signature=_bent(entry.signature))),
        (Check.ENTRIES, lambda entry: replace(entry, key_id="0" * 32)),
        (
            Check.ENTRIES,
            lambda entry: replace(entry, recorded=entry.recorded + timedelta(seconds=1)),
        ),
    ],
)
async def test_a_changed_entry_is_named(
    expected: Check, change: Callable[[dossier.Entry], dossier.Entry]
) -> None:
    stage, files, _ = await a_hand_over()
    evidence = read_evidence(files["120000"])
    first, *rest = evidence.entries
    changed = replace(evidence, entries=(change(first), *rest))
    raw = written(changed, stage.node_of("120000").keys)
    assert flaw_of(raw, roster=stage.roster).check is expected


async def test_a_missing_entry_and_one_out_of_order_are_named() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    await export(stage, "120000", ticket)
    await stage.change("120000", ticket)
    evidence = read_evidence(await export(stage, "120000", ticket))
    keys = stage.node_of("120000").keys
    first, second = evidence.entries
    for entries, expected in (((second,), Check.PATHS), ((second, first), Check.ENTRIES)):
        raw = written(replace(evidence, entries=entries), keys)
        assert flaw_of(raw, roster=stage.roster).check is expected


@given(st.data())
def test_no_sealed_byte_of_a_ticket_or_an_entry_is_without_claim(data: st.DataObject) -> None:
    """Whatever bit its own authority flips in rows, statements, entries: it does not hold."""
    stage, raw = _stage_and_file()
    evidence = read_evidence(raw)
    parts = [ticket_bytes(evidence.tickets[0]), *map(entry_bytes, evidence.entries)]
    place = data.draw(st.integers(0, len(parts) - 1))
    bit = data.draw(st.integers(0, len(parts[place]) * 8 - 1))
    bent = bytearray(parts[place])
    bent[bit // 8] ^= 1 << bit % 8
    parts[place] = bytes(bent)
    head = header_bytes(
        authority=evidence.authority, exported=evidence.exported, subject=evidence.subject
    )
    whole = b"".join([head, *parts])
    key = stage.node_of("130000").keys.signing_key("130000")
    seal = seal_bytes(
        digest(whole),
        key_id=key.key_id,
        signature=sign(key, digest(whole), payload_type="application/vnd.lubiao.evidence.v1"),
    )
    assert not check(whole + seal, rosters=(stage.roster,)).holds


@cache
def _stage_and_file() -> tuple[Stage, bytes]:
    import asyncio  # noqa: PLC0415 # hypothesis calls tests that are not coroutines

    stage, files, _ = asyncio.run(a_hand_over())
    return stage, files["130000"]


# --- keys, forks, two ledgers -------------------------------------------------------------------


def _with_keys(roster: Roster, code: str, **changes: object) -> Roster:
    entry = roster.authorities[AuthorityCode(code)]
    keys = tuple(replace(key, **changes) for key in entry.statement_keys)  # type: ignore[arg-type] # by name
    authorities = {**roster.authorities, entry.code: replace(entry, statement_keys=keys)}
    return replace(roster, authorities=authorities)


async def test_a_key_outside_its_validity_is_named() -> None:
    stage, files, _ = await a_hand_over()
    now = stage.clock.now()
    for changes in (
        {"valid_to": now - timedelta(days=1), "valid_from": now - timedelta(days=2)},
        {"valid_from": now + timedelta(days=1)},
        {"revoked_at": now - timedelta(days=1)},
    ):
        roster = _with_keys(stage.roster, "130000", **changes)
        flaw = flaw_of(files["120000"], roster=roster)
        assert flaw.check is Check.KEYS
        assert "130000" in flaw.where


async def test_a_revocation_after_the_receipt_changes_nothing() -> None:
    stage, files, _ = await a_hand_over()
    later = stage.clock.now() + timedelta(hours=1)
    roster = _with_keys(stage.roster, "130000", revoked_at=later)
    assert check(files["120000"], rosters=(roster,)).holds


async def test_a_key_that_may_not_sign_the_kind_is_named() -> None:
    stage, files, _ = await a_hand_over()
    roster = _with_keys(stage.roster, "130000", statement_kinds=frozenset({"Report"}))
    assert flaw_of(files["120000"], roster=roster).check is Check.SIGNATURES


async def test_a_fork_is_named() -> None:
    """130000 accepts, and says at the same epoch to somebody else that it declined."""
    stage, files, ticket = await a_hand_over()
    offer = next(row for row in stage.said("120000", "Offer") if row.epoch == 2)
    lie = stage.forge(
        "130000",
        bodies.Answer(
            verdict=Verdict.DECLINED,
            offer_digest=offer.digest,
            reason=1,
            clause="synthetic",
            proposed_owner="310000",
        ),
        ChainKey(AuthorityCode("120000"), ticket, NATION, 1),  # type: ignore[arg-type] # by name
        epoch=Epoch(0, 2),
    )
    raw = forged(
        stage,
        files["120000"],
        lambda ticket: replace(ticket, kept=(*ticket.kept, Kept(lie))),
    )
    flaw = flaw_of(raw, roster=stage.roster)
    assert flaw.check is Check.EPOCHS
    assert "130000" in flaw.where


async def test_two_sides_that_disagree_are_named() -> None:
    """130000 rewrites its whole ledger and shows an acceptance that 120000 never got."""
    stage, files, _ = await a_hand_over()
    other = Stage(seed=7)
    ticket = await other.create("120000")
    await other.offer("120000", ticket, "310000")
    await other.settle()
    await other.decline("310000", ticket, owner="130000")
    await other.settle()
    await other.offer("120000", ticket, "130000")
    await other.settle()
    other.clock.advance(timedelta(minutes=3))
    await other.accept("130000", ticket)
    await other.settle()
    lie = await export(other, "130000", ticket)
    assert check(lie, rosters=(other.roster,)).holds
    flaw = flaw_of(files["120000"], lie, roster=stage.roster)
    assert flaw.check in {Check.EPOCHS, Check.SIDES}


async def test_a_rewritten_history_of_one_authority_is_named() -> None:
    stage = Stage()
    ticket = await stage.create("120000")
    before = await export(stage, "120000", ticket)
    other = Stage()
    same = await other.create("120000")
    assert ticket == same
    await other.change("120000", ticket)
    after = await export(other, "120000", ticket)
    flaw = flaw_of(before, after, roster=stage.roster)
    assert flaw.check is Check.SIDES


async def test_rulings_that_do_not_follow_are_named() -> None:
    stage, files, ticket = await a_hand_over(with_ruling=True)
    key = ChainKey(NATION, ticket, NATION, 1)  # type: ignore[arg-type] # by name
    [said] = stage.said(NATION, "Ruling")
    body = codec.body_from_bytes("Ruling", statement_from_bytes(said.statement).body)
    assert isinstance(body, bodies.Ruling)
    lies = {
        "by another": stage.forge("130000", replace(body, number=2), key, epoch=Epoch(2, 0)),
        "without the one before": stage.forge(
            NATION, replace(body, number=2, previous=bytes(32)), key, epoch=Epoch(2, 0)
        ),
        "of another epoch": stage.forge(
            NATION, replace(body, number=2, previous=said.digest), key, epoch=Epoch(3, 0)
        ),
    }
    for name, lie in lies.items():
        raw = forged(stage, files["310000"], with_more(Kept(lie)))
        flaw = flaw_of(raw, roster=stage.roster)
        assert flaw.check is Check.RULINGS, (name, flaw)


async def test_an_era_that_nobody_took_is_named() -> None:
    stage, files, _ = await a_hand_over(with_ruling=True)
    evidence = read_evidence(files["310000"])
    assert check(written(evidence, stage.node_of("310000").keys), rosters=(stage.roster,)).holds

    def without_taken(ticket: TicketEvidence) -> TicketEvidence:
        acks = [
            kept
            for kept in ticket.kept
            if statement_from_bytes(kept.signed.statement).kind != "RulingAck"
        ]
        return replace(ticket, kept=tuple(acks))

    flaw = flaw_of(forged(stage, files["310000"], without_taken), roster=stage.roster)
    assert flaw.check is Check.ROWS  # nothing happened in the era yet: its row speaks of it


async def test_a_statement_of_its_own_without_a_row_is_named() -> None:
    stage, files, _ = await a_hand_over()
    evidence = read_evidence(files["120000"])
    kept = next(
        kept
        for kept in evidence.tickets[0].kept
        if statement_from_bytes(kept.signed.statement).kind == "Release"
    )
    said = statement_from_bytes(kept.signed.statement)
    again = statement_to_bytes(replace(said, epoch=Epoch(0, 9)))
    key = stage.node_of("120000").keys.signing_key("120000")
    more = Kept(SignedBytes(again, key.key_id, sign(key, again)))
    raw = forged(stage, files["120000"], lambda ticket: replace(ticket, kept=(*ticket.kept, more)))
    flaw = flaw_of(raw, roster=stage.roster)
    assert flaw.check is Check.ROWS
    assert "Release 0.9" in flaw.where


async def test_content_that_was_not_promised_is_named() -> None:
    stage, files, _ = await a_hand_over()
    evidence = read_evidence(files["120000"])
    offer = next(row for row in stage.said("120000", "Offer"))
    lie = Opened(offer.digest, "case_block", bytes(32), b"what was never said")
    raw = forged(stage, files["120000"], lambda ticket: replace(ticket, contents=(lie,)))
    assert flaw_of(raw, roster=stage.roster).check is Check.CONTENT
    assert not evidence.tickets[0].contents


@pytest.mark.skipif(not timestamps.is_available(), reason="needs lubiao[timestamps]")
async def test_a_time_stamp_that_is_none_is_named_and_not_followed() -> None:
    stage, files, _ = await a_hand_over()
    evidence = read_evidence(files["120000"])
    lie = dossier.Stamp(evidence.entries[-1].sequence, b"no stamp", (b"no root",))
    raw = written(replace(evidence, stamps=(lie,)), stage.node_of("120000").keys)
    assert stamp_bytes(lie)
    verdict = check(raw, rosters=(stage.roster,), judge=timestamps.StampJudge())
    assert verdict.flaw is not None
    assert verdict.flaw.check is Check.TIMESTAMPS


def test_reading_says_what_is_wrong() -> None:
    with pytest.raises(LubiaoError):
        read_evidence(b"")


async def test_a_report_of_an_act_that_never_was_is_named() -> None:
    """131000 was overruled; to its province it reports an act that its own ledger does not have."""
    stage, ticket = await told(SPLIT, "ruled_between_two_cities")
    files = [await export(stage, code, ticket) for code in ("130000", "131000")]
    assert check(*files, rosters=(stage.roster,)).holds
    lie = stage.forge(
        "131000",
        bodies.StandDown(
            part=2,
            final=True,
            last_epoch=Epoch(0, 0),
            acts=(bodies.Act(1, Epoch(0, 0), "ticket.resolved", bytes(32)),),
        ),
        ChainKey(AuthorityCode("130000"), ticket, AuthorityCode("130000"), 1),
    )
    raw = forged(stage, files[0], with_more(Kept(lie)))
    flaw = flaw_of(raw, files[1], roster=stage.roster)
    assert flaw.check is Check.TAILS
    assert "StandDown 0.0 131000" in flaw.where
