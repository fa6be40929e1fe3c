"""A case of provinces: its parties live on other nodes, read the same bytes and speak there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.arbitration.assembly import ArbitrationRoom, build_arbitration
from gateway.arbitration.cases import Cases
from gateway.arbitration.copies import COPIES, Copies
from gateway.arbitration.exchange_codec import case_file_of, case_of_file
from gateway.arbitration.model import Case, CaseKey, Entry
from gateway.arbitration.store import CASES
from gateway.audit.service import AuditLog
from gateway.audit.store import ENTRIES_AFTER
from gateway.database.timers import TimerRunner
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import SignedBytes
from gateway.kernel.codes import CaseEntryKind
from gateway.kernel.errors import PeerUnreachable, ResourceNotFound, TransitionNotAllowed
from gateway.kernel.ids import NATION, AuthorityCode
from gateway.privacy.vault import ContentVault
from gateway.trust.principal import Principal, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from tests.fixtures.dossiers import sources
from tests.fixtures.nodes import (
    IDS,
    NOW,
    ArbiterNode,
    Federation,
    Node,
    a_federation,
    a_person,
    a_platform,
    reference,
)
from tests.integration.arbitration.test_the_nation_rules import (
    CONTEXT,
    HEBEI,
    HOSTS,
    JIANGSU,
    SHANGHAI,
    TIANJIN,
    disputed,
)

WORDS = "测试陈述：该事项由贵省主管部门负责。"
POSITION, OBJECTION = case_pb2.CaseEntry.KIND_POSITION, case_pb2.CaseEntry.KIND_OBJECTION


@dataclass
class Dispute:
    """A case between provinces, and the room of arbitration of every node in it."""

    federation: Federation
    rooms: dict[str, ArbitrationRoom]
    caller: Principal

    async def case(self, authority: str) -> case_pb2.Case:
        """Return the case as somebody of an authority reads it."""
        role = Role.PANEL_MEMBER if authority == NATION else Role.SUPERVISOR
        self.caller = a_person(authority, role)
        servicer = self.rooms[authority].servicer
        [listed] = (await servicer.ListCases(pb.ListCasesRequest(), CONTEXT)).cases
        request = pb.GetCaseRequest(name=listed.name)
        return (await servicer.GetCase(request, CONTEXT)).case

    async def say(self, authority: str, kind: Any = POSITION, **changes: Any) -> case_pb2.Case:
        """Let somebody of a party say something, and carry it."""
        name = (await self.case(authority)).name
        self.caller = a_person(authority, Role.SUPERVISOR)
        given: dict[str, Any] = {
            "name": name,
            "kind": kind,
            "proposed_owner": HEBEI if kind == POSITION else "",
            "legal_basis": "职责清单（测试）",
            "evidence": ["cd" * 32],
            "words": WORDS,
            "request_id": IDS.uuid7(NOW),
        }
        request = pb.CreateEntryRequest(**(given | changes))
        answer = await self.rooms[authority].servicer.CreateEntry(request, CONTEXT)
        await self.federation.settle()
        return answer.case

    async def rule(self, target: str) -> None:
        """Let the nation's panel rule."""
        name = (await self.case(NATION)).name
        self.caller = a_person(NATION, Role.PANEL_MEMBER)
        request = pb.IssueRulingRequest(
            name=name,
            kind=custody_pb2.Ruling.KIND_REASSIGN,
            target=target,
            legal_basis="首接负责制（测试）",
            reasons="事发地在该地（测试）。",
            request_id=IDS.uuid7(NOW),
        )
        await self.rooms[NATION].servicer.IssueRuling(request, CONTEXT)
        await self.federation.settle()

    async def later(self, **time: float) -> None:
        """Let time pass at the arbiter, and carry what came of it."""
        self.federation.clock.advance(timedelta(**time))
        arbiter = self.federation.arbiter
        assert arbiter is not None
        handlers = dict(self.rooms[NATION].timers)
        runner = TimerRunner(
            database=arbiter.database, clock=self.federation.clock, handlers=handlers
        )
        while await runner.run_due():
            pass
        await self.federation.settle()

    async def outcomes(self, act: str) -> list[str]:
        """Return how the arbiter took what the parties said."""
        arbiter = self.federation.arbiter
        assert arbiter is not None
        async with arbiter.database.unit() as uow:
            rows = await uow.select(ENTRIES_AFTER, txid=-1, position=-1, limit=1000)
        return [row.outcome for row in rows if row.act == act]


def a_room(dispute: Dispute, node: Node | ArbiterNode, ruler: Any) -> ArbitrationRoom:
    room = build_arbitration(
        database=node.database,
        ruler=ruler,
        keys=node.keys,
        ids=IDS,
        roster=lambda: dispute.federation.roster,
        calendar=lambda: reference().calendar,
        is_within=reference().regions.is_within,
        audit=AuditLog(),
        business_clock=dispute.federation.clock,
        principal_of=lambda _context: dispute.caller,
        outbox=node.outbox,
        sources=sources(dispute.federation, node),
    )
    node.inbox.register(room.handlers)
    return room


async def a_dispute() -> Dispute:
    """Return a ticket of 天津 that two provinces refused, and the rooms of all nodes."""
    federation = a_federation(HOSTS, with_arbiter=True)
    made = Dispute(federation, {}, a_person(TIANJIN))
    for authority in (TIANJIN, HEBEI, SHANGHAI, JIANGSU):
        node = federation.node_of(authority)
        made.rooms[authority] = a_room(made, node, node.custody.arbiter)
    arbiter = federation.arbiter
    assert arbiter is not None
    made.rooms[NATION] = a_room(made, arbiter, arbiter.desk.arbiter)
    arbiter.told = made.rooms[NATION].arbitration.react
    await disputed(federation)
    return made


@pytest.fixture
async def dispute() -> Dispute:
    return await a_dispute()


def signed_bytes(dispute: Dispute, authority: AuthorityCode, case_id: str = "") -> bytes:
    node = dispute.federation.node_of(authority)
    [row] = [
        row
        for row in node.database.rows(COPIES)  # type: ignore[attr-defined] # memory
        if row.authority == authority and case_id in ("", row.case_id)
    ]
    content, _ = case_file_of(statement_from_bytes(row.statement).body)
    return content


async def say_as_hebei(dispute: Dispute, case: Case, **changes: Any) -> None:
    """Put a position of 河北 into its outbox, whatever its copies say."""
    exchange = dispute.rooms[HEBEI].servicer._proceedings.exchange
    assert exchange is not None
    entry = Entry(
        number=0,
        kind=CaseEntryKind.POSITION,
        party=AuthorityCode(HEBEI),
        author=a_person(HEBEI, Role.SUPERVISOR).name,
        said=NOW,
        proposed=AuthorityCode(TIANJIN),
        legal_basis="职责清单（测试）",
        words=WORDS,
    )
    async with dispute.federation.node_of(HEBEI).database.unit() as uow:
        exchange.say(uow, case, replace(entry, **changes))


async def test_every_party_keeps_the_same_bytes(dispute: Dispute) -> None:
    await dispute.say(HEBEI)
    await dispute.say(SHANGHAI, proposed_owner=TIANJIN)
    await dispute.rule(SHANGHAI)
    kept = {signed_bytes(dispute, code) for code in (TIANJIN, HEBEI, SHANGHAI)}
    assert len(kept) == 1
    case = case_pb2.Case.FromString(kept.pop())
    assert [entry.party for entry in case.entries] == [HEBEI, SHANGHAI]
    assert case.state == case_pb2.Case.STATE_CLOSED
    assert WORDS not in str(case)


async def test_everybody_reads_everybody_s_words(dispute: Dispute) -> None:
    await dispute.say(HEBEI)
    await dispute.rule(HEBEI)
    for authority in (NATION, TIANJIN, HEBEI, SHANGHAI):
        case = await dispute.case(authority)
        assert [entry.words for entry in case.entries] == [WORDS]
        assert [ruling.reasons for ruling in case.rulings] == ["事发地在该地（测试）。"]


async def test_words_are_sealed_at_rest_and_on_the_way(dispute: Dispute) -> None:
    await dispute.say(HEBEI)
    for node in dispute.federation.everybody:
        assert WORDS not in repr(node.database.tables)  # type: ignore[attr-defined] # memory


async def test_a_platform_of_a_party_is_not_told_that_there_is_a_case(dispute: Dispute) -> None:
    name = (await dispute.case(HEBEI)).name
    dispute.caller = a_platform(HEBEI)
    request = pb.CreateEntryRequest(
        name=name,
        kind=POSITION,
        proposed_owner=HEBEI,
        legal_basis="职责清单（测试）",
        words=WORDS,
        request_id=IDS.uuid7(NOW),
    )
    with pytest.raises(ResourceNotFound):
        await dispute.rooms[HEBEI].servicer.CreateEntry(request, CONTEXT)


async def test_an_objection_from_another_node_is_heard_once_and_in_time(dispute: Dispute) -> None:
    await dispute.say(HEBEI)
    await dispute.rule(SHANGHAI)
    await dispute.say(HEBEI, OBJECTION)
    assert (await dispute.case(HEBEI)).state == case_pb2.Case.STATE_OBJECTED
    await dispute.say(HEBEI, OBJECTION)
    assert await dispute.outcomes("case.objection") == ["DONE", "TRANSITION_NOT_ALLOWED"]
    assert len((await dispute.case(TIANJIN)).entries) == 2


async def test_what_comes_too_late_changes_nothing(dispute: Dispute) -> None:
    await dispute.say(HEBEI)
    await dispute.rule(SHANGHAI)
    await dispute.later(days=7)
    before = await dispute.case(NATION)
    await dispute.say(HEBEI, OBJECTION)
    assert await dispute.case(NATION) == before
    assert await dispute.outcomes("case.objection") == ["TRANSITION_NOT_ALLOWED"]
    assert (await dispute.case(HEBEI)).entries == before.entries


async def test_a_party_that_says_nothing_is_ruled_all_the_same(dispute: Dispute) -> None:
    await dispute.later(days=10)
    case = await dispute.case(SHANGHAI)
    assert [ruling.kind for ruling in case.rulings] == [custody_pb2.Ruling.KIND_DEFAULT]
    assert case.rulings[0].target == TIANJIN  # the first receiver
    assert case.state == case_pb2.Case.STATE_CLOSED


async def test_strangers_read_and_say_nothing(dispute: Dispute) -> None:
    name = (await dispute.case(NATION)).name
    dispute.caller = a_person("131000", Role.SUPERVISOR)
    servicer = dispute.rooms[HEBEI].servicer
    with pytest.raises(ResourceNotFound):
        await servicer.GetCase(pb.GetCaseRequest(name=name), CONTEXT)
    assert not (await servicer.ListCases(pb.ListCasesRequest(), CONTEXT)).cases


async def test_an_old_case_file_that_comes_late_is_forgotten(dispute: Dispute) -> None:
    await dispute.say(HEBEI)
    old = case_of_file(signed_bytes(dispute, HEBEI))
    await dispute.rule(SHANGHAI)
    ruled = signed_bytes(dispute, HEBEI)
    node = dispute.federation.node_of(HEBEI)
    copies = Copies(vault=ContentVault(keys=node.keys, ids=IDS))
    async with node.database.unit() as uow:
        nothing = SignedBytes(b"", "", b"")
        await copies.keep(uow, HEBEI, old, signed=nothing, words=b"")
    assert signed_bytes(dispute, HEBEI) == ruled != b""


async def test_a_restored_arbiter_tells_what_its_parties_take_as_newer(dispute: Dispute) -> None:
    arbiter = dispute.federation.arbiter
    assert arbiter is not None
    backup = arbiter.database.snapshot()  # type: ignore[attr-defined] # memory
    for authority in (HEBEI, TIANJIN):
        await dispute.say(authority)
    told = case_of_file(signed_bytes(dispute, HEBEI)).revision
    arbiter.database.restore(backup)  # type: ignore[attr-defined] # memory
    cases = dispute.rooms[NATION].arbitration._cases
    [row] = arbiter.database.rows(CASES)  # type: ignore[attr-defined] # memory
    again = Cases(vault=cases._vault, incarnation=2)
    async with arbiter.database.unit() as uow:
        case = await again.find(uow, CaseKey(NATION, row.case_id))
        assert case is not None
        await again.save(uow, replace(case, revision=case.revision + 1))
    async with arbiter.database.unit() as uow:
        stored = await again.find(uow, CaseKey(NATION, row.case_id))
    assert stored is not None
    assert stored.revision > told


async def test_whom_a_ruling_names_is_told_and_may_object(dispute: Dispute) -> None:
    """江苏 was no party: nobody had offered it the ticket, and it held it never."""
    with pytest.raises(ValueError, match="not enough values"):
        await dispute.case(JIANGSU)
    await dispute.rule(JIANGSU)
    case = await dispute.case(JIANGSU)
    assert case.rulings[0].target == JIANGSU
    await dispute.say(JIANGSU, OBJECTION, legal_basis="测试依据")
    assert await dispute.outcomes("case.objection") == ["DONE"]
    assert [entry.party for entry in (await dispute.case(HEBEI)).entries] == [JIANGSU]


async def test_what_changes_nothing_is_answered_to_who_said_it_only(dispute: Dispute) -> None:
    """Else one party could have the arbiter tell everybody everything, as often as it likes."""
    await dispute.rule(SHANGHAI)
    arbiter = dispute.federation.arbiter
    assert arbiter is not None
    posted: list[str] = []
    post = arbiter.outbox.post

    def counted(uow: Any, **given: Any) -> None:
        posted.append(given["target"])
        post(uow, **given)

    arbiter.outbox.post = counted  # type: ignore[method-assign] # counts what is sent
    await dispute.say(HEBEI)
    assert posted == [HEBEI]


async def test_words_in_a_case_that_a_restored_arbiter_forgot_come_to_an_end(
    dispute: Dispute,
) -> None:
    """Else they were on their way for ever: no filing of that number will come again."""
    arbiter = dispute.federation.arbiter
    assert arbiter is not None
    [row] = arbiter.database.rows(CASES)  # type: ignore[attr-defined] # memory
    cases = dispute.rooms[NATION].arbitration._cases
    async with arbiter.database.unit() as uow:
        forgotten = await cases.find(uow, CaseKey(NATION, row.case_id))
        assert forgotten is not None
        again = replace(forgotten, key=CaseKey(NATION, f"{row.ticket}-{NATION}-1-9"))
        cases.create(uow, again)
        uow.delete(CASES, NATION, row.case_id)
    await dispute.federation.settle()
    copy = case_of_file(signed_bytes(dispute, HEBEI, row.case_id))
    await say_as_hebei(dispute, copy)
    node = dispute.federation.node_of(HEBEI)
    async with node.database.unit() as uow:
        uow.delete(COPIES, HEBEI, NATION, again.key.case)
    await dispute.federation.settle()
    assert await dispute.outcomes("case.position") == [ResourceNotFound.reason]
    told = case_of_file(signed_bytes(dispute, HEBEI, again.key.case))  # the newest of the chain
    assert not told.entries


async def test_words_in_a_case_of_no_such_number_are_refused(dispute: Dispute) -> None:
    case = case_of_file(signed_bytes(dispute, HEBEI))
    unnamed = replace(case, key=CaseKey(NATION, "31000020260302000000001-100000-1-0"))
    await say_as_hebei(dispute, unnamed)
    with pytest.raises(AssertionError, match="Position of 130000: refused"):
        await dispute.federation.settle()
    assert await dispute.outcomes("case.position") == []


async def test_a_ruled_case_takes_no_more_positions(dispute: Dispute) -> None:
    await dispute.rule(SHANGHAI)
    await dispute.say(HEBEI)
    assert await dispute.outcomes("case.position") == [TransitionNotAllowed.reason]
    assert not (await dispute.case(NATION)).entries


async def test_only_the_arbiter_of_a_party_tells_it_of_a_case(dispute: Dispute) -> None:
    told = case_of_file(signed_bytes(dispute, HEBEI))
    forged = replace(told, key=CaseKey(SHANGHAI, told.key.case), revision=99)
    cases = dispute.rooms[SHANGHAI].arbitration._cases
    async with dispute.federation.node_of(SHANGHAI).database.unit() as uow:
        cases.create(uow, forged)
    with pytest.raises(AssertionError, match="CaseFile of 310000: refused"):
        await dispute.federation.settle()
    node = dispute.federation.node_of(HEBEI)
    rows = node.database.rows(COPIES)  # type: ignore[attr-defined] # memory
    assert [row.scope for row in rows if row.authority == HEBEI] == [NATION]


async def test_a_party_speaks_in_nobody_else_s_name(dispute: Dispute) -> None:
    case = case_of_file(signed_bytes(dispute, HEBEI))
    await say_as_hebei(dispute, case, author=a_person(NATION, Role.PANEL_MEMBER).name)
    with pytest.raises(AssertionError, match="Position of 130000: refused"):
        await dispute.federation.settle()
    assert not (await dispute.case(NATION)).entries
    assert await dispute.outcomes("case.position") == []


async def test_words_that_met_a_fault_of_ours_are_not_taken(dispute: Dispute) -> None:
    exchange = dispute.rooms[NATION].servicer._proceedings.exchange
    assert exchange is not None
    heard = exchange.speak

    async def failing(*_given: Any, **_named: Any) -> None:
        raise PeerUnreachable(peer="postgresql", got="no answer")

    exchange.speak = failing
    with pytest.raises(AssertionError, match="Position of 130000: deferred"):
        await dispute.say(HEBEI)
    exchange.speak = heard
    await dispute.federation.settle()
    assert [entry.party for entry in (await dispute.case(NATION)).entries] == [HEBEI]
