"""What panels and parties do in the simulated world once a case is open.

All of it goes through the served verbs of `hotline.arbitration.v1`, with the caller handed in as
the context of the call. A wrong statement must be refused, and the case must be as it was before:
that is looked at each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks.arbitration_nodes import StageNode
from benchmarks.arbitration_people import Manner
from benchmarks.arbitration_quarrels import Habit, Quarrel
from benchmarks.arbitration_stage import IDS, a_person, a_platform
from benchmarks.arbitration_world import Story, World
from gateway.arbitration.deadlines import STAGES, URGENT_STAGES
from gateway.arbitration.store import CASES, RULINGS, CaseRow
from gateway.kernel.codes import CaseEntryKind, CaseLevel, CaseRulingForm, CaseState
from gateway.kernel.time import Instant
from gateway.trust.principal import Principal, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as pb
from hotline.arbitration.v1 import case_pb2
from hotline.custody.v1 import custody_pb2

BASIS = "首接负责制（测试）"
WORDS = "测试陈述：按职责清单办理。"
CLEAR = 2 / 3  # of cases that a panel rules in the review; the others need a conference
HEARD = 0.15  # of parties that object to a ruling against them
FORMS = (  # of rulings about tickets that are like no other, in percent
    (CaseRulingForm.UNSPECIFIED, 60),
    (CaseRulingForm.LEAD_ASSIST, 15),
    (CaseRulingForm.JOINT, 10),
    (CaseRulingForm.SPLIT, 10),
    (CaseRulingForm.BEYOND_DUTY, 5),
)
WITH_PARTS = frozenset({CaseRulingForm.LEAD_ASSIST, CaseRulingForm.JOINT, CaseRulingForm.SPLIT})
PART_MATTER = "060100"
INTERIM_MINUTES = (10, 110)
OPEN = frozenset(map(int, (CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE)))


@dataclass(slots=True)
class Hearing:
    """Lets panels and parties act in a world; `wrong_changed` are cases that a wrong one moved."""

    world: World
    ruled: Callable[[Story], None] | None = None
    wrong_changed: list[str] = field(default_factory=list)
    forbidden_tried: int = 0

    def opened(self, story: Story) -> None:
        """Let everybody concerned learn of a new case."""
        manner = self.world.draw()
        story.plan = manner.value
        if story.is_urgent:
            self._order_later(story, manner)
        is_careless = bool(story.quarrel.forbidden) and manner is not Manner.NEVER
        if manner is Manner.WRONG or is_careless:
            soon = self.world.now + timedelta(minutes=self.world.dice.uniform(1, 20))
            self.world.at(soon, partial(self._rule_wrongly, story))
        if manner in {Manner.IN_TIME, Manner.WRONG}:
            self._rule_in_time(story)
        elif manner is Manner.LATE:
            self._rule_late(story)
        for party in (story.quarrel.holder, *story.quarrel.others):
            self._position_later(story, party, self.world.draw())

    # --- the panel ----------------------------------------------------------------------------

    def _end(self, story: Story, state: CaseState, start: Instant) -> Instant:
        limits = URGENT_STAGES if story.is_urgent else STAGES
        return limits[state].end(start, self.world.hours.calendar).instant

    def _rule_in_time(self, story: Story) -> None:
        """Take the case up, then rule in the review or after a conference."""
        world = self.world
        moment = partial(world.hours.moment, world.dice, is_urgent=story.is_urgent)
        taken_up = moment(world.now, self._end(story, CaseState.FILED, world.now))
        world.at(taken_up, partial(self._take_up, story))
        reviewed = moment(taken_up, self._end(story, CaseState.REVIEW, taken_up))
        if world.dice.random() < CLEAR:
            world.at(reviewed, partial(self._rule, story))
            return
        world.at(reviewed, partial(self._convene, story))
        heard = moment(reviewed, self._end(story, CaseState.CONFERENCE, reviewed))
        world.at(heard, partial(self._record_minutes, story))
        world.at(heard + timedelta(minutes=1), partial(self._rule, story))

    def _rule_late(self, story: Story) -> None:
        """Let every stage lapse, then rule before the ruling itself is due."""
        world = self.world
        lapsed = world.now
        for state in (CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE):
            lapsed = self._end(story, state, lapsed)
        due = world.hours.calendar.add_working_days(world.now, 3).instant
        at = world.hours.moment(world.dice, min(lapsed, due), due, is_urgent=False)
        world.at(at, partial(self._rule, story))

    def _order_later(self, story: Story, manner: Manner) -> None:
        """Name somebody for the time being; who does not leaves it to the clock."""
        if manner in {Manner.IN_TIME, Manner.WRONG}:
            minutes = self.world.dice.uniform(*INTERIM_MINUTES)
            at = self.world.now + timedelta(minutes=minutes)
            self.world.at(at, partial(self._order, story))

    async def _take_up(self, story: Story) -> None:
        request = pb.TakeUpCaseRequest(name=_name(story), request_id=self._id())
        await self._ask(story, "take-up", self._servicer(story).TakeUpCase, request)

    async def _convene(self, story: Story) -> None:
        request = pb.ConveneCaseRequest(name=_name(story), request_id=self._id())
        await self._ask(story, "convene", self._servicer(story).ConveneCase, request)

    async def _record_minutes(self, story: Story) -> None:
        request = self._entry(story, CaseEntryKind.MINUTES)
        request.attendees.extend(["BB", "SF"])
        await self._ask(story, "minutes", self._servicer(story).CreateEntry, request)

    async def _order(self, story: Story) -> None:
        case = self.case(story)
        if case is None or case.state not in OPEN or self._rulings(story):
            return
        await self._issue(story, "interim", kind="INTERIM", target=case.responsible)

    async def _rule(self, story: Story) -> None:
        case, quarrel = self.case(story), story.quarrel
        if case is None or case.state not in OPEN:
            return
        kind = "UPHOLD" if quarrel.right == case.responsible else "REASSIGN"
        keeps = quarrel.habit is not Habit.ONCE
        form = CaseRulingForm.UNSPECIFIED if keeps else self._form(kind)
        answer = await self._issue(
            story, "ruling", kind=kind, target=quarrel.right, sets_precedent=keeps, form=form
        )
        if answer is None and quarrel.right != case.responsible:
            # A body that nobody can bind declined before, say: who cares now goes on.
            answer = await self._issue(story, "ruling", kind="UPHOLD", target=case.responsible)
        if answer is not None:
            if self.ruled is not None:
                self.ruled(story)
            self._object_later(story)

    def _form(self, kind: str) -> CaseRulingForm:
        """Return how a panel has a ticket handled that is like no other."""
        forms = [form for form, _ in FORMS]
        [form] = self.world.dice.choices(forms, [share for _, share in FORMS])
        settles = form in {CaseRulingForm.LEGAL, CaseRulingForm.BEYOND_DUTY}
        return CaseRulingForm.UNSPECIFIED if settles and kind != "UPHOLD" else form

    async def _rule_wrongly(self, story: Story) -> None:
        """Rule as nobody of the panel, for somebody outside, or for whom a guard excludes."""
        case = self.case(story)
        if case is None or case.state not in OPEN:
            return
        quarrel, scope = story.quarrel, story.scope
        outsider = a_person(scope, "clerk9", Role.DISPATCHER)
        party = a_person(quarrel.others[0], "panel9", Role.PANEL_MEMBER)
        wrong: list[dict[str, Any]] = [
            {"who": outsider, "kind": "REASSIGN", "target": quarrel.right},
            {"kind": "UPHOLD", "target": _another(case.responsible, quarrel)},
            {"kind": "REASSIGN", "target": "440100"},
            {"kind": "REASSIGN", "target": quarrel.right, "etag": "stale"},
        ]
        if quarrel.level is not CaseLevel.UNITS:
            wrong.append({"who": party, "kind": "REASSIGN", "target": quarrel.right})
        chosen = self.world.dice.choice(wrong)
        if quarrel.forbidden:
            self.forbidden_tried += 1
            chosen = {"kind": "REASSIGN", "target": quarrel.forbidden}
        await self._wrongly(story, partial(self._issue, story, "wrong ruling", **chosen))

    async def _issue(
        self,
        story: Story,
        what: str,
        *,
        kind: str,
        target: str,
        who: Principal | None = None,
        etag: str = "",
        sets_precedent: bool = False,
        form: CaseRulingForm = CaseRulingForm.UNSPECIFIED,
    ) -> Any | None:
        request = pb.IssueRulingRequest(
            name=_name(story),
            kind=custody_pb2.Ruling.Kind.Value(f"KIND_{kind}"),
            target=target,
            legal_basis=BASIS,
            reasons="职责清单与先例（测试）。",
            request_id=self._id(),
            etag=etag,
            sets_precedent=sets_precedent,
            form=case_pb2.CaseRuling.Form.ValueType(form),
        )
        if form in WITH_PARTS:
            part = request.parts.add(party=_another(target, story.quarrel))
            part.matter = PART_MATTER if form is CaseRulingForm.SPLIT else ""
            what = f"{what} {form.name}"
        return await self._ask(story, what, self._servicer(story).IssueRuling, request, who=who)

    # --- the parties --------------------------------------------------------------------------

    def _position_later(self, story: Story, party: str, manner: Manner) -> None:
        world = self.world
        end = self._end(story, CaseState.FILED, world.now)
        if manner is Manner.NEVER:
            return
        if manner is Manner.LATE:  # it still counts while nobody has ruled
            at = world.hours.after(world.dice, end, is_urgent=story.is_urgent)
        else:
            at = world.hours.moment(world.dice, world.now, end, is_urgent=story.is_urgent)
        world.at(at, partial(self._state, story, party, manner))

    async def _state(self, story: Story, party: str, manner: Manner) -> None:
        if manner is Manner.WRONG:
            await self._state_wrongly(story, party)
            return
        request = self._entry(story, CaseEntryKind.POSITION, party=party)
        request.proposed_owner, request.legal_basis = story.quarrel.right, BASIS
        speaker = self._speaker(story, party)
        servicer = self._servicer(story, party)
        await self._ask(story, "position", servicer.CreateEntry, request, who=speaker)

    async def _state_wrongly(self, story: Story, party: str) -> None:
        """State no clause, object before there is a ruling, or speak without being a party."""
        speaker, dice = self._speaker(story, party), self.world.dice
        bare = self._entry(story, CaseEntryKind.POSITION, party=party)
        bare.proposed_owner = story.quarrel.right
        early = self._entry(story, CaseEntryKind.OBJECTION, party=party)
        early.legal_basis = BASIS
        foreign = self._entry(story, CaseEntryKind.POSITION, party=party)
        foreign.proposed_owner, foreign.legal_basis = story.quarrel.right, BASIS
        stranger = a_person(story.quarrel.authority, "clerk8", Role.CLERK)
        case = self.case(story)
        choices = [(bare, speaker)]
        if case is not None and case.state in OPEN:
            choices.append((early, speaker))
        if party == story.quarrel.authority or party.startswith("units/"):
            choices.append((foreign, stranger))
        request, who = dice.choice(choices)
        create = self._servicer(story, party).CreateEntry
        await self._wrongly(
            story, partial(self._ask, story, "wrong entry", create, request, who=who)
        )

    def _object_later(self, story: Story) -> None:
        """Let parties that the ruling is against object; the panel then answers, or forgets."""
        world = self.world
        for party in (story.quarrel.holder, *story.quarrel.others):
            if party != story.quarrel.right or world.dice.random() >= HEARD:
                continue
            manner = world.draw()
            if manner is Manner.NEVER:
                continue
            end = world.hours.calendar.add_working_days(world.now, 1).instant
            late = manner is Manner.LATE
            at = (
                world.hours.after(world.dice, end, is_urgent=False)
                if late
                else world.hours.moment(world.dice, world.now, end, is_urgent=False)
            )
            world.at(at, partial(self._object, story, party, manner))

    async def _object(self, story: Story, party: str, manner: Manner) -> None:
        request = self._entry(story, CaseEntryKind.OBJECTION, party=party)
        request.legal_basis = BASIS
        speaker, servicer = self._speaker(story, party), self._servicer(story, party)
        say = partial(self._ask, story, "objection", servicer.CreateEntry, who=speaker)
        if manner is Manner.LATE:
            await self._wrongly(story, partial(say, request))
            return
        if await say(request) is None:
            return
        if manner is Manner.WRONG:  # a second time
            again = self._entry(story, CaseEntryKind.OBJECTION, party=party)
            again.legal_basis = BASIS
            await self._wrongly(story, partial(say, again))
        if self.world.draw() in {Manner.IN_TIME, Manner.WRONG}:
            end = self.world.hours.calendar.add_working_days(self.world.now, 1).instant
            at = self.world.hours.moment(self.world.dice, self.world.now, end, is_urgent=False)
            self.world.at(at, partial(self._answer, story))

    async def _answer(self, story: Story) -> None:
        request = self._entry(story, CaseEntryKind.ANSWER)
        request.upheld = True
        await self._ask(story, "answer", self._servicer(story).CreateEntry, request)

    # --- parts --------------------------------------------------------------------------------

    async def _wrongly(self, story: Story, deed: Callable[[], Any]) -> None:
        """Do what must be refused, and see that nothing moved."""
        before = self.case(story)
        answer = await deed()
        after = self.case(story)
        is_sent = before is not None and after == before  # a party elsewhere only sends it
        if (answer is not None and not is_sent) or after != before:
            self.wrong_changed.append(story.case)

    async def _ask(
        self,
        story: Story,
        what: str,
        method: Callable[[Any, Any], Any],
        request: Any,
        *,
        who: Principal | None = None,
    ) -> Any | None:
        panel = a_person(story.scope, "panel1", Role.PANEL_MEMBER)
        return await self.world.attempt(what, method(request, who or panel))

    def _entry(
        self, story: Story, kind: CaseEntryKind, *, party: str = ""
    ) -> pb.CreateEntryRequest:
        request = pb.CreateEntryRequest(
            name=_name(story),
            kind=case_pb2.CaseEntry.Kind.ValueType(kind),
            words=WORDS,
            request_id=self._id(),
        )
        if party.startswith("units/"):
            request.party = party
        return request

    def _speaker(self, story: Story, party: str) -> Principal:
        if party.startswith("units/"):  # all units of this world are served by a platform
            return a_platform(story.quarrel.authority)
        return a_person(party, "dispatcher1", Role.DISPATCHER)

    def _node(self, authority: str) -> StageNode:
        return self.world.stage.node_of(authority)

    def _servicer(self, story: Story, party: str = "") -> Any:
        """Return the served verbs of a party's node, or of the arbiter's."""
        is_unit = not party or party.startswith("units/")
        return self._node(story.scope if is_unit else party).served

    def case(self, story: Story) -> CaseRow | None:
        """Return the case as its arbiter has it at rest."""
        rows = self._node(story.scope).database.of_ticket(CASES, story.number)
        return rows.get((story.scope, story.case))

    def _rulings(self, story: Story) -> bool:
        rows = self._node(story.scope).database.rows(RULINGS)
        return any((row.scope, row.case_id) == (story.scope, story.case) for row in rows)

    def _id(self) -> str:
        return IDS.uuid7(self.world.now)


def _name(story: Story) -> str:
    return f"cases/{story.case}"


def _another(holder: str, quarrel: Quarrel) -> str:
    return next(each for each in (quarrel.holder, *quarrel.others) if each != holder)
