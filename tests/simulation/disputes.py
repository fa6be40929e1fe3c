"""What the parties of a case and its panel do: in time, late, never, or wrongly.

Everything goes through the edge of the real room. Whether somebody is of those who come in time is
drawn from the case and the name, so the same person stays the same in every decision of a run.
A panel that never acts leaves its cases to the clock; one that is late rules again what the clock
has ruled, if it still may.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING
from zlib import crc32

from gateway.arbitration import store
from gateway.custody import chains
from gateway.custody import store as custody
from gateway.kernel.codes import CaseEntryKind, CaseState, RulingKind
from gateway.kernel.ids import AuthorityCode
from gateway.trust.principal import Principal, PrincipalKind, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2
from tests.simulation.rooms import as_caller

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.arbitration.servicer import ArbitrationServicer
    from tests.simulation.node import Node
    from tests.simulation.world import World

OPEN = frozenset({CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE})
RULED = frozenset({CaseState.RULED, CaseState.CLOSED})
LIVE = OPEN | {CaseState.RULED, CaseState.OBJECTED}
RULINGS_ENOUGH = 12  # in a chain; the clock must still be able to rule below the bound of 16
KINDS = (RulingKind.UPHOLD, RulingKind.REASSIGN, RulingKind.INTERIM)
WRONGLY = 0.15  # of the acts of panel and parties do not fit the stage
ANY_CASE = 0.25  # of the acts of a panel are about a case in any state
FOCUS = 6  # cases at which most acts are aimed: the newest ones


class Manner(Enum):
    """How somebody takes part in a case."""

    IN_TIME = "in time"
    LATE = "late"
    NEVER = "never"
    WRONGLY = "wrongly"


MANNERS = (*(Manner.IN_TIME,) * 6, *(Manner.LATE,) * 2, Manner.NEVER, Manner.WRONGLY)


class Disputes:
    """Acts for every panel and every party of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.salt = ""

    # --- the panel ----------------------------------------------------------------------------

    async def rule(self) -> None:
        """Let a panel rule, or give an interim order."""
        case = self._some_case_of_a_panel()
        if case is None or self._is_enough(case):
            return
        rng = self._world.rng
        kind = rng.choice(KINDS)
        inside = self._inside(case.scope)
        target = rng.choice(inside)
        holder = self._holder(case)
        if kind is RulingKind.UPHOLD and rng.random() > WRONGLY and holder in inside:
            target = AuthorityCode(holder)
        request = pb.IssueRulingRequest(
            name=f"cases/{case.case_id}",
            kind=custody_pb2.Ruling.Kind.ValueType(kind.value),
            target=target,
            legal_basis="模拟依据",
            reasons="模拟理由",
            offers_allowed=rng.random() < 0.6,
            mandates=rng.sample(inside, 1) if rng.random() < 0.2 else [],
            request_id=self._request_id(),
            sets_precedent=rng.random() < 0.5,
        )
        self._note(f"panel rules {kind.name} {target}", case)
        await self._room(case).IssueRuling(request, as_caller(panel_of(case.scope)))
        self._world.step("panel")

    async def panel(self) -> None:
        """Let a panel do what comes before a ruling, or after an objection."""
        case = self._some_case_of_a_panel()
        if case is None:
            return
        rng, state = self._world.rng, CaseState(case.state)
        verbs = {
            CaseState.FILED: ("take up", "convene"),
            CaseState.REVIEW: ("convene",),
            CaseState.CONFERENCE: ("minutes",),
            CaseState.OBJECTED: ("answer",),
        }
        every = ("take up", "convene", "minutes", "answer")
        right = verbs.get(state, every)
        verb = rng.choice(every if rng.random() < WRONGLY else right)
        self._note(f"panel: {verb}", case)
        room, caller = self._room(case), as_caller(panel_of(case.scope))
        name, request_id = f"cases/{case.case_id}", self._request_id()
        if verb == "take up":
            await room.TakeUpCase(pb.TakeUpCaseRequest(name=name, request_id=request_id), caller)
        elif verb == "convene":
            await room.ConveneCase(pb.ConveneCaseRequest(name=name, request_id=request_id), caller)
        else:
            is_answer = verb == "answer"
            kind = CaseEntryKind.ANSWER if is_answer else CaseEntryKind.MINUTES
            request = self._entry(case, kind)
            request.upheld = is_answer
            request.attendees.extend([] if is_answer else list(case.parties)[:2] or [case.scope])
            await room.CreateEntry(request, caller)
        self._world.step("panel")

    # --- the parties --------------------------------------------------------------------------

    async def speak(self) -> None:
        """Let somebody state a position or object, or do so where it is not theirs to do."""
        case = self._pick(self._newest(self._cases()))
        if case is None:
            return
        rng, state = self._world.rng, CaseState(case.state)
        party = rng.choice(sorted(set(case.parties) - {"100000"}) or [case.scope])
        manner = self._manner(case, party)
        if rng.random() < WRONGLY:
            manner, party = Manner.WRONGLY, rng.choice(self._world.authorities)
        wants = {
            Manner.IN_TIME: CaseEntryKind.POSITION if state in OPEN else CaseEntryKind.OBJECTION,
            Manner.LATE: CaseEntryKind.POSITION if state not in OPEN else None,
            Manner.NEVER: None,
            Manner.WRONGLY: rng.choice(list(CaseEntryKind)[1:]),
        }
        kind = wants[manner]
        if kind is None:
            return
        request = self._entry(case, kind)
        if manner is Manner.WRONGLY and rng.random() < 0.3:
            request.legal_basis = ""
        self._note(f"{party} says {kind.name} ({manner.value})", case)
        room = self._world.node_of(party).room.servicer
        await room.CreateEntry(request, as_caller(dispatcher_of(party)))
        self._world.step("party")

    # --- parts --------------------------------------------------------------------------------

    def _entry(self, case: store.CaseRow, kind: CaseEntryKind) -> pb.CreateEntryRequest:
        return pb.CreateEntryRequest(
            name=f"cases/{case.case_id}",
            kind=case_pb2.CaseEntry.Kind.ValueType(kind.value),
            proposed_owner=self._world.rng.choice(self._inside(case.scope)),
            legal_basis="模拟条款",
            words="模拟陈述",
            request_id=self._request_id(),
        )

    def _cases(self) -> list[tuple[Node, store.CaseRow]]:
        """Return all cases as their arbiters have them."""
        return [
            (node, row)
            for node in self._world.nodes.values()
            for row in node.database.rows(store.CASES)
        ]

    def _some_case_of_a_panel(self) -> store.CaseRow | None:
        """Return a case whose panel does something now, mostly one that waits for it."""
        known = self._cases()
        if self._world.rng.random() < ANY_CASE:
            return self._pick(self._newest(known))
        acting = [
            (node, row)
            for node, row in known
            if (manner := self._manner(row, row.scope)) in (Manner.IN_TIME, Manner.WRONGLY)
            or (manner is Manner.LATE and CaseState(row.state) not in OPEN)
        ]
        return self._pick(self._newest(acting, states=LIVE))

    def _newest(
        self,
        cases: Iterable[tuple[Node, store.CaseRow]],
        states: frozenset[CaseState] = frozenset(CaseState),
    ) -> list[store.CaseRow]:
        rows = [row for _, row in cases if CaseState(row.state) in states]
        return sorted(rows, key=lambda row: (row.filed, row.case_id))[-FOCUS:]

    def _pick(self, rows: list[store.CaseRow]) -> store.CaseRow | None:
        """Return the case that this decision likes best, whatever else is there."""
        return min(rows, key=lambda row: crc32(f"{self.salt}/{row.case_id}".encode()), default=None)

    def _manner(self, case: store.CaseRow, name: str) -> Manner:
        return MANNERS[crc32(f"{self._world.seed}/{case.case_id}/{name}".encode()) % len(MANNERS)]

    def _is_enough(self, case: store.CaseRow) -> bool:
        ruled = self._world.node_of(case.scope).database.of_ticket(custody.RULINGS, case.ticket)
        return len(ruled) >= RULINGS_ENOUGH

    def _holder(self, case: store.CaseRow) -> str:
        rows = self._world.node_of(case.scope).database.of_ticket(custody.CHAINS, case.ticket)
        place = (case.scope, case.scope, case.chain)
        for row in rows.values():
            if (row.authority, row.scope, row.number) == place:
                is_here = row.holding in {"HELD", "OFFERED", "REVOKING", "YIELDING"}
                return str(case.scope if is_here else row.custodian or case.responsible)
        return case.responsible

    def _inside(self, scope: str) -> list[AuthorityCode]:
        code = AuthorityCode(scope)
        return [each for each in self._world.authorities if chains.is_in_scope(each, code)]

    def _room(self, case: store.CaseRow) -> ArbitrationServicer:
        return self._world.node_of(case.scope).room.servicer

    def _request_id(self) -> str:
        return self._world.ids.uuid7(self._world.clock.now())

    def _note(self, text: str, case: store.CaseRow) -> None:
        self._world.note(f"{text} in {case.case_id[17:]} ({CaseState(case.state).name})")


def panel_of(scope: str) -> Principal:
    """Return a panel member of an arbiter."""
    return _person(scope, "panel1", Role.PANEL_MEMBER)


def dispatcher_of(authority: str) -> Principal:
    """Return a dispatcher of an authority."""
    return _person(authority, "dispatcher1", Role.DISPATCHER)


def _person(authority: str, name: str, role: Role) -> Principal:
    return Principal(
        authority=AuthorityCode(authority),
        kind=PrincipalKind.STAFF,
        id=name,
        roles=frozenset({role}),
    )
