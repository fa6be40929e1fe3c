"""A case as one signed file: both sides' files verify offline, and what was changed is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import pytest

from gateway.arbitration import exchange_codec
from gateway.arbitration.dossiers import codec as dossier_codec
from gateway.arbitration.dossiers.codec import read_dossier
from gateway.arbitration.dossiers.model import (
    CASE_PAYLOAD_TYPE,
    DOSSIER_PAYLOAD_TYPE,
    CaseCheck,
    Dossier,
    OpenedWords,
    OwnCase,
)
from gateway.delivery.codec import statement_from_bytes, statement_to_bytes
from gateway.delivery.model import SignedBytes
from gateway.evidence.dossier import TicketEvidence
from gateway.evidence.dossier_codec import read_evidence
from gateway.evidence.verdict import FlawOf
from gateway.kernel.errors import FieldInvalid, PurposeMissing, ResourceNotFound, RoleMissing
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.trust.commitments import commit
from gateway.trust.key_ring import KeyRing
from gateway.trust.principal import Principal, PrincipalKind, Role
from gateway.trust.roster import Roster
from gateway.trust.statements import digest, sign
from hotline.arbitration.v1 import case_pb2
from tests.fixtures.dossiers import check, dossier_of
from tests.fixtures.nodes import NOW, Federation, a_person
from tests.integration.arbitration.test_parties_elsewhere import (
    OBJECTION,
    WORDS,
    Dispute,
    dispute,
)
from tests.integration.arbitration.test_the_nation_rules import HEBEI, SHANGHAI, TIANJIN
from tests.unit.evidence.evidence_files import written

__all__ = ["dispute"]  # the fixture of the neighbour
ALL = (NATION, TIANJIN, HEBEI, SHANGHAI)


async def ruled(dispute: Dispute) -> str:
    """Let two parties speak, the nation rule, and one object; return the name of the case."""
    await dispute.say(HEBEI, proposed_owner=SHANGHAI)
    await dispute.say(SHANGHAI, proposed_owner=TIANJIN)
    await dispute.rule(SHANGHAI)
    await dispute.say(HEBEI, OBJECTION)
    return (await dispute.case(NATION)).name


async def export(dispute: Dispute, authority: str, name: str, **wanted: object) -> bytes:
    role = Role.PANEL_MEMBER if authority == NATION else Role.SUPERVISOR
    dispute.caller = a_person(authority, role)
    return await dossier_of(dispute.rooms[authority], authority, name, **wanted)


# --- what holds -----------------------------------------------------------------------------------


async def test_the_dossiers_of_all_sides_verify_offline_and_agree(dispute: Dispute) -> None:
    name = await ruled(dispute)
    files = [await export(dispute, authority, name) for authority in ALL]
    roster = dispute.federation.roster
    for raw in files:
        verdict = check(raw, rosters=(roster,))
        assert verdict.flaw is None
        assert [item.target for item in verdict.rulings] == [SHANGHAI]
        assert [step.check for step in verdict.passed] == list(CaseCheck)
    assert check(*files, rosters=(roster,)).flaw is None
    assert check(*files).flaw is None
    assert not check(*files).is_anchored
    contents = {exchange_codec.case_file_of(_body(read_dossier(raw)))[0] for raw in files}
    assert len(contents) == 1  # the same case, byte for byte (I4)


async def test_the_arbiter_s_dossier_has_what_every_party_signed(dispute: Dispute) -> None:
    name = await ruled(dispute)
    dossier = read_dossier(await export(dispute, NATION, name))
    said = [statement_from_bytes(item.statement) for item in dossier.entries]
    assert sorted((item.kind, item.issuer) for item in said) == [
        ("Objection", HEBEI),
        ("Position", HEBEI),
        ("Position", SHANGHAI),
    ]
    own = read_dossier(await export(dispute, HEBEI, name))
    assert len(own.entries) == 2  # what it said itself


async def test_a_dossier_has_no_words_unless_a_judge_asks_for_a_purpose(dispute: Dispute) -> None:
    name = await ruled(dispute)
    plain = await export(dispute, NATION, name)
    assert WORDS.encode() not in plain
    opened = await export(dispute, NATION, name, with_words=True, purpose="review")
    assert WORDS.encode() in opened
    assert check(opened, rosters=(dispute.federation.roster,)).flaw is None
    with pytest.raises(PurposeMissing):
        await export(dispute, NATION, name, with_words=True)
    with pytest.raises(FieldInvalid):
        await export(dispute, HEBEI, name, with_words=True, purpose="review")
    auditor = Principal(NATION, PrincipalKind.AUDITOR, "audit-1")
    dispute.caller = auditor
    with pytest.raises(RoleMissing):
        await dossier_of(dispute.rooms[NATION], NATION, name, with_words=True, purpose="review")
    assert check(await dossier_of(dispute.rooms[NATION], NATION, name)).flaw is None


async def test_a_stranger_exports_nothing(dispute: Dispute) -> None:
    name = await ruled(dispute)
    dispute.caller = a_person("131000", Role.SUPERVISOR)
    with pytest.raises(ResourceNotFound):
        await dossier_of(dispute.rooms[HEBEI], "131000", name)


async def test_an_undecided_case_has_a_dossier_too(dispute: Dispute) -> None:
    name = (await dispute.case(NATION)).name
    for authority in (NATION, TIANJIN):
        assert check(await export(dispute, authority, name)).flaw is None


# --- what was changed is named --------------------------------------------------------------------


@dataclass
class Forger:
    """Somebody with the keys of an authority, who changes its dossier and seals it again."""

    keys: KeyRing
    dossier: Dossier

    def sealed(self, **changes: object) -> bytes:
        dossier = replace(self.dossier, **changes)  # type: ignore[arg-type] # by name
        head = dossier_codec.head_bytes(
            authority=dossier.authority,
            exported=dossier.exported,
            case_id=dossier.case_id,
            rosters=dossier.rosters,
            told=dossier.told,
            entries=dossier.entries,
            custody=dossier.custody,
            words=dossier.words,
        )
        key = self.keys.signing_key(dossier.authority)
        signature = sign(key, digest(head), payload_type=DOSSIER_PAYLOAD_TYPE)
        return head + dossier_codec.seal_bytes(digest(head), key_id=key.key_id, signature=signature)

    def with_case(self, change: Callable[[case_pb2.Case], None]) -> bytes:
        """Return the file with a case that its arbiter signed anew."""
        content, commitment = exchange_codec.case_file_of(_body(self.dossier))
        case = case_pb2.Case.FromString(content)
        change(case)
        file = exchange_codec.case_file_to_bytes(
            case.SerializeToString(deterministic=True), commitment=commitment
        )
        key = self.keys.signing_key(case.scope)
        signature = sign(key, file, payload_type=CASE_PAYLOAD_TYPE)
        return self.sealed(told=OwnCase(file, key.key_id, signature))

    def with_custody(self, change: Callable[[TicketEvidence], TicketEvidence]) -> bytes:
        """Return the file with evidence that its authority sealed anew."""
        evidence = read_evidence(self.dossier.custody)
        [ticket] = evidence.tickets
        changed = replace(evidence, tickets=(change(ticket),))
        return self.sealed(custody=written(changed, self.keys))


@pytest.fixture
async def forger(dispute: Dispute) -> Forger:
    name = await ruled(dispute)
    arbiter = dispute.federation.arbiter
    assert arbiter is not None
    return Forger(arbiter.keys, read_dossier(await export(dispute, NATION, name)))


def flaw_of(raw: bytes, roster: Roster) -> FlawOf[CaseCheck]:
    verdict = check(raw, rosters=(roster,))
    assert verdict.flaw is not None, "the change was not noticed"
    return verdict.flaw


async def test_the_arbiters_file_is_sealed_again_by_nobody_whom_the_case_does_not_concern(
    dispute: Dispute, forger: Forger
) -> None:
    stranger = AuthorityCode("131000")  # listed, and of another scope: less is asked of its file
    theirs = Forger(dispute.federation.node_of(HEBEI).keys, forger.dossier)
    raw = theirs.sealed(authority=stranger, entries=(), custody=b"", words=None)
    flaw = flaw_of(raw, dispute.federation.roster)
    assert (flaw.check, flaw.got) == (CaseCheck.CASE, stranger)


async def test_a_case_that_tells_another_ruling_than_was_signed_is_named(
    dispute: Dispute, forger: Forger
) -> None:
    def change(case: case_pb2.Case) -> None:
        case.rulings[0].target = HEBEI

    assert flaw_of(forger.with_case(change), dispute.federation.roster).check is CaseCheck.RULINGS


async def test_a_ruling_that_the_case_hides_is_named(dispute: Dispute, forger: Forger) -> None:
    def change(case: case_pb2.Case) -> None:
        del case.rulings[:]
        case.state = case_pb2.Case.STATE_FILED
        case.ClearField("close_time")

    flaw = flaw_of(forger.with_case(change), dispute.federation.roster)
    assert (flaw.check, flaw.what.english) == (
        CaseCheck.RULINGS,
        "the case lacks a ruling that was signed",
    )


async def test_a_ruling_without_its_statement_is_named(dispute: Dispute, forger: Forger) -> None:
    def change(case: case_pb2.Case) -> None:
        case.rulings.add().CopyFrom(case.rulings[0])
        case.rulings[1].number = 2

    flaw = flaw_of(forger.with_case(change), dispute.federation.roster)
    assert (flaw.check, flaw.what.english) == (CaseCheck.RULINGS, "the signed ruling is missing")


async def test_rulings_that_are_left_out_of_the_custody_are_named(
    dispute: Dispute, forger: Forger
) -> None:
    def change(ticket: TicketEvidence) -> TicketEvidence:
        kept = tuple(
            item
            for item in ticket.kept
            if statement_from_bytes(item.signed.statement).kind != "Ruling"
        )
        return replace(ticket, kept=kept)

    flaw = flaw_of(forger.with_custody(change), dispute.federation.roster)
    assert flaw.check is CaseCheck.CUSTODY  # a row of the ledger speaks of it


async def test_a_position_that_its_party_did_not_sign_is_named(
    dispute: Dispute, forger: Forger
) -> None:
    roster, entries = dispute.federation.roster, forger.dossier.entries
    flaw = flaw_of(forger.sealed(entries=entries[1:]), roster)
    assert (flaw.check, flaw.what.english) == (
        CaseCheck.ENTRIES,
        "it is not signed by its party",
    )
    said = statement_from_bytes(entries[0].statement)
    for issuer in (HEBEI, NATION):  # in Hebei's name, and in its own
        raw = statement_to_bytes(replace(said, issuer=AuthorityCode(issuer)))
        key = forger.keys.signing_key(NATION)
        forged = SignedBytes(raw, key.key_id, sign(key, raw))
        assert flaw_of(forger.sealed(entries=(forged, *entries[1:])), roster).check in {
            CaseCheck.ENTRIES,
            CaseCheck.KEYS,
        }


async def test_a_position_that_the_case_hides_is_named(dispute: Dispute, forger: Forger) -> None:
    def change(case: case_pb2.Case) -> None:
        del case.entries[2:]
        case.state = case_pb2.Case.STATE_CLOSED
        case.close_time.CopyFrom(case.rulings[0].take_time)

    flaw = flaw_of(forger.with_case(change), dispute.federation.roster)
    assert (flaw.check, flaw.what.english) == (
        CaseCheck.ENTRIES,
        "what a party signed is not in the case",
    )


async def test_a_case_that_could_not_have_come_to_this_is_named(
    dispute: Dispute, forger: Forger
) -> None:
    def minutes(case: case_pb2.Case) -> None:
        case.entries[0].kind = case_pb2.CaseEntry.KIND_MINUTES  # of a party

    def stranger(case: case_pb2.Case) -> None:
        case.entries[0].author = a_person(SHANGHAI).name

    def gap(case: case_pb2.Case) -> None:
        case.entries[0].number = 7

    def undecided(case: case_pb2.Case) -> None:
        case.state = case_pb2.Case.STATE_FILED

    for change in (minutes, stranger, gap, undecided):
        flaw = flaw_of(forger.with_case(change), dispute.federation.roster)
        assert flaw.check is CaseCheck.COURSE


class NoLines:
    """A federation that carries nothing."""

    def __init__(self, federation: Federation) -> None:
        self._federation = federation

    def __getattr__(self, name: str) -> Any:
        return getattr(self._federation, name)

    async def settle(self) -> None:
        """Carry nothing."""


async def test_a_taking_that_its_target_never_said_is_named(dispute: Dispute) -> None:
    federation, dispute.federation = (
        dispute.federation,
        cast("Federation", NoLines(dispute.federation)),
    )
    await dispute.rule(SHANGHAI)  # which 上海 has not even heard of
    dispute.federation = federation
    name = (await dispute.case(NATION)).name
    assert federation.arbiter is not None
    forger = Forger(federation.arbiter.keys, read_dossier(await export(dispute, NATION, name)))
    assert check(forger.sealed(), rosters=(federation.roster,)).flaw is None

    def change(case: case_pb2.Case) -> None:
        case.rulings[0].take_time.CopyFrom(case.rulings[0].issue_time)

    assert flaw_of(forger.with_case(change), federation.roster).check is CaseCheck.TAKEN


async def test_a_body_that_is_no_arbiter_is_named(dispute: Dispute, forger: Forger) -> None:
    roster = dispute.federation.roster

    def level(case: case_pb2.Case) -> None:
        case.level = case_pb2.Case.LEVEL_AUTHORITIES

    assert flaw_of(forger.with_case(level), roster).check is CaseCheck.ARBITER
    no_city = dispute.federation.node_of("131000").keys  # a city signs as if it were an arbiter

    def scope(case: case_pb2.Case) -> None:
        case.scope = "131000"

    city = Forger(no_city, replace(forger.dossier, authority=AuthorityCode("131000")))
    assert flaw_of(city.with_case(scope), roster).check in {CaseCheck.CASE, CaseCheck.ARBITER}


async def test_a_ruling_outside_the_arbiter_s_term_is_named(
    dispute: Dispute, forger: Forger
) -> None:
    roster = dispute.federation.roster
    entry = roster.authorities[NATION]
    for change in (
        {"mandate_to": NOW - timedelta(days=1)},
        {"mandate_from": NOW + timedelta(days=1)},
        {"mandate_from": None},
    ):
        ended = replace(
            roster, authorities={**roster.authorities, NATION: replace(entry, **change)}
        )
        assert flaw_of(forger.sealed(), ended).check is CaseCheck.TERM


async def test_a_key_outside_its_validity_is_named(dispute: Dispute, forger: Forger) -> None:
    roster = dispute.federation.roster
    for code in (NATION, HEBEI):
        entry = roster.authorities[AuthorityCode(code)]
        [key] = entry.statement_keys
        revoked = replace(entry, statement_keys=(replace(key, revoked_at=NOW - timedelta(days=1)),))
        changed = replace(roster, authorities={**roster.authorities, entry.code: revoked})
        flaw = flaw_of(forger.sealed(), changed)
        assert (flaw.check, flaw.where.endswith("seal")) == (CaseCheck.KEYS, False)


async def test_other_words_than_were_promised_are_named(dispute: Dispute, forger: Forger) -> None:
    raw = forger.sealed(words=OpenedWords(bytes(32), b""))
    assert flaw_of(raw, dispute.federation.roster).check is CaseCheck.WORDS


async def test_the_arbiter_puts_no_words_into_a_party_s_mouth(
    dispute: Dispute, forger: Forger
) -> None:
    name = f"cases/{forger.dossier.case_id}"
    raw = await export(dispute, NATION, name, with_words=True, purpose="review")
    opened, roster = Forger(forger.keys, read_dossier(raw)), dispute.federation.roster
    words = opened.dossier.words
    assert words is not None
    assert len(words.entries) == len(opened.dossier.entries)
    block = words.block.replace(WORDS.encode(), WORDS[::-1].encode(), 1)
    content, _ = exchange_codec.case_file_of(_body(opened.dossier))
    file = exchange_codec.case_file_to_bytes(content, commitment=commit(block, words.salt))
    key = forger.keys.signing_key(NATION)
    told = OwnCase(file, key.key_id, sign(key, file, payload_type=CASE_PAYLOAD_TYPE))
    flaw = flaw_of(opened.sealed(told=told, words=replace(words, block=block)), roster)
    assert (flaw.check, "entry statement" in flaw.where) == (CaseCheck.WORDS, True)
    bare = opened.sealed(told=told, words=replace(words, block=block, entries=()))
    verdict = check(bare, rosters=(roster,))
    assert verdict.flaw is None  # nothing holds them to it: that is said
    [step] = [step for step in verdict.passed if step.check is CaseCheck.WORDS]
    assert step.remarks


async def test_two_files_with_other_bytes_at_one_revision_are_named(
    dispute: Dispute, forger: Forger
) -> None:
    def change(case: case_pb2.Case) -> None:
        case.cause = "silence"

    other = forger.with_case(change)
    roster = (dispute.federation.roster,)
    assert check(other, rosters=roster).flaw is None  # its arbiter may say so, but only once
    verdict = check(other, forger.sealed(), rosters=roster)
    assert verdict.flaw is not None
    assert verdict.flaw.check is CaseCheck.SIDES


async def test_any_flipped_bit_is_found(dispute: Dispute, forger: Forger) -> None:
    raw, roster = forger.sealed(), dispute.federation.roster
    for place in range(0, len(raw), max(len(raw) // 400, 1)):
        for bit in (0, 6):
            flipped = bytearray(raw)
            flipped[place] ^= 1 << bit
            assert flaw_of(bytes(flipped), roster).check in CaseCheck, place


async def test_a_cut_off_or_longer_file_is_found(dispute: Dispute, forger: Forger) -> None:
    raw, roster = forger.sealed(), dispute.federation.roster
    assert flaw_of(raw[:-1], roster).check is CaseCheck.FILE
    assert flaw_of(raw + b"\x00", roster).check is CaseCheck.FILE
    assert flaw_of(b"", roster).check is CaseCheck.FILE


def _body(dossier: Dossier) -> bytes:
    told = dossier.told
    return told.file if isinstance(told, OwnCase) else statement_from_bytes(told.statement).body
