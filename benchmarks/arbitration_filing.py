"""How quarrels become cases in the simulated world: returns, refused offers, silence, requests.

Between units the first receiver returns the ticket within its window and says whose it is; the desk
reviews; whoever gets it then may return it too. Between authorities and provinces the holder's
dispatcher offers the ticket to two others, who decline it, or leave the offer to its window.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from benchmarks.arbitration_nodes import StageNode
from benchmarks.arbitration_people import GOAL, Manner
from benchmarks.arbitration_stage import IDS, a_person, a_platform
from benchmarks.arbitration_world import Story, World
from gateway.custody.model import OfferReason
from gateway.custody.store import INVITATIONS
from gateway.custody.transfers import Transfer
from gateway.dispatch.assembly import DispatchRoom
from gateway.dispatch.handling import Target
from gateway.dispatch.requests import Answer
from gateway.dispatch.returning import Plea
from gateway.kernel.codes import CaseLevel, ReturnReason
from gateway.kernel.ids import AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.reference.service_levels import Limit, LimitUnit
from gateway.tickets.model import Ticket
from gateway.trust.principal import Principal, Role
from hotline.arbitration.v1 import arbitration_service_pb2 as arbitration_pb
from hotline.ticket.v1 import ticket_pb2

CLAUSE = "职责清单第一条（测试）"
WINDOW_URGENT = Limit(2, LimitUnit.NATURAL_HOURS)  # of returns, where no profile says otherwise
WINDOW = Limit(4, LimitUnit.WORKING_HOURS)
RULED = "ruling."  # how ids of rules begin that a ruling proposed
OFFERS_MAX = 12  # looks of a dispatcher at an offer that has not come back
FILING = GOAL  # whatever the mix of parties and panel in the case: else nothing is disputed
GRANTED = 0.7  # of returns that the desk reviews in time
BACK = 0.6  # of second receivers name the first one; the others a third unit
THIRD = "ZW"  # its kind
ACCEPTED = 0.7  # of requests that a vertically managed body answers
LATE_ANSWER = 900  # minutes of business, more than two working days
STUBBORN = 0.1  # of units to which an accepted rule sends a ticket: they return it all the same
ASKING = 0.6  # of units whose return was refused, and of late ones: they ask for a case


@dataclass(frozen=True, slots=True)
class Filing:
    """Lets quarrels begin in a world."""

    world: World

    def began(self, story: Story, ticket: ticket_pb2.Ticket) -> None:
        """Let a quarrel about a new ticket begin."""
        world, dice = self.world, self.world.dice
        if story.quarrel.level is CaseLevel.UNITS:
            unit = ticket.assignments[0].unit if ticket.assignments else ""
            if unit == story.quarrel.holder:
                self._return_later(story, unit, story.quarrel.others[0], Manner.IN_TIME)
            elif dice.random() < STUBBORN:
                story.is_stubborn = True
                self._return_later(story, unit, story.quarrel.holder, Manner.IN_TIME)
            return
        first = world.hours.later(world.now, dice.uniform(5, 60))
        world.at(first, partial(self._offer, story, 0, OFFERS_MAX))

    # --- between units ------------------------------------------------------------------------

    def _return_later(self, story: Story, unit: str, owner: str, manner: Manner) -> None:
        world = self.world
        window = (WINDOW_URGENT if story.is_urgent else WINDOW).end(world.now, world.hours.calendar)
        if manner is Manner.NEVER:
            return
        if manner is Manner.LATE:
            at = world.hours.after(world.dice, window.instant, is_urgent=story.is_urgent)
        else:
            at = world.hours.moment(
                world.dice, world.now, window.instant, is_urgent=story.is_urgent
            )
        world.at(at, partial(self._return, story, unit, owner, manner))

    async def _return(self, story: Story, unit: str, owner: str, manner: Manner) -> None:
        world = self.world
        ticket = await self.copy(story)
        if ticket is None or ticket.lead is None or ticket.lead.unit != unit:
            return
        if manner is Manner.WRONG:
            await self._return_wrongly(story, unit)
            return
        plea = Plea(reason=ReturnReason.WRONG_FUNCTION, clause=CLAUSE, proposed_owner=owner)
        who = handler_of(story, unit)
        filed = await world.attempt("return", self._file(story, who, plea))
        if filed is None and world.dice.random() < ASKING:
            await self._ask_for_a_case(story, unit)
        elif filed is not None:
            self._review_later(story, ticket_pb2.Ticket.FromString(filed))

    async def _return_wrongly(self, story: Story, unit: str) -> None:
        """Name oneself, a unit that does not exist, or a reason of transfers; all is refused."""
        who = handler_of(story, unit)
        wrong = (
            Plea(reason=ReturnReason.WRONG_FUNCTION, clause=CLAUSE, proposed_owner=unit),
            Plea(reason=ReturnReason.WRONG_FUNCTION, clause=CLAUSE, proposed_owner="units/1-X-1"),
            Plea(reason=ReturnReason.LOOP, clause=CLAUSE, proposed_owner=story.quarrel.others[0]),
        )
        plea = self.world.dice.choice(wrong)
        await self.world.attempt("wrong return", self._file(story, who, plea))

    async def _file(self, story: Story, who: Principal, plea: Plea) -> bytes:
        units = self._dispatch(story).units
        call = self.world.call(who, "ReturnTicket")
        return await units.returning.file(call, Target(number=story.number), plea=plea)

    def _review_later(self, story: Story, ticket: ticket_pb2.Ticket) -> None:
        world = self.world
        filed = ticket.returns[-1]
        if story.case or filed.state != ticket_pb2.Return.STATE_FILED:
            return
        due = filed.review_due_time.ToDatetime(tzinfo=world.now.tzinfo)
        manner = FILING.draw(world.dice)
        if manner is Manner.NEVER:
            return
        if manner is Manner.LATE:
            at = world.hours.after(world.dice, due, is_urgent=story.is_urgent)
        else:
            at = world.hours.moment(world.dice, world.now, due, is_urgent=story.is_urgent)
        world.at(at, partial(self._review, story, filed.number, manner))

    async def _review(self, story: Story, number: int, manner: Manner) -> None:
        world, authority = self.world, story.quarrel.authority
        ticket = await self.copy(story)
        if ticket is None or ticket.open_return is None or ticket.case:
            return
        unit, owner = ticket.open_return.unit, ticket.open_return.proposed_owner
        clerk = a_person(authority, "clerk1", Role.CLERK)
        if manner is Manner.WRONG:  # no reviewer at all; then somebody who may
            await world.attempt("wrong review", self._decide(story, clerk, number, granted=True))
        is_ruled = ticket.decision is not None and ticket.decision.rule.startswith(RULED)
        granted = world.dice.random() < GRANTED and not is_ruled
        reviewer = a_person(authority, "reviewer1", Role.DISPATCHER)
        answer = await world.attempt(
            "review", self._decide(story, reviewer, number, granted=granted)
        )
        if answer is None or story.case:
            return
        after = await self.copy(story)
        if after is None or after.lead is None or after.case:
            return
        if granted and after.lead.unit == owner:
            third = f"units/{story.quarrel.region}-{THIRD}-1"
            named = unit if world.dice.random() < BACK else third
            self._return_later(story, owner, named, FILING.draw(world.dice))
        elif not granted and not is_ruled and world.dice.random() < ASKING:
            await self._ask_for_a_case(story, unit)

    async def _decide(self, story: Story, who: Principal, number: int, *, granted: bool) -> bytes:
        return await self._dispatch(story).units.returning.review(
            self.world.call(who, "ReviewReturn"),
            Target(number=story.number),
            number=number,
            is_granted=granted,
            basis="复核意见（测试）",
        )

    async def _ask_for_a_case(self, story: Story, unit: str) -> None:
        """Let the platform of a unit ask for a ruling."""
        world, quarrel = self.world, story.quarrel
        owner = next(each for each in (*quarrel.others, quarrel.holder) if each != unit)
        request = arbitration_pb.OpenCaseRequest(
            ticket=f"tickets/{story.number}",
            party=unit,
            proposed_owner=owner,
            legal_basis=CLAUSE,
            words="测试：请求裁定。",
            request_id=IDS.uuid7(world.now),
        )
        servicer = self._node(quarrel.authority).served
        await world.attempt("open case", servicer.OpenCase(request, a_platform(quarrel.authority)))

    # --- bodies that nobody here can bind -------------------------------------------------------

    def asked(self, story: Story, number: int) -> None:
        """Let a vertically managed body answer a request, or leave it to its line."""
        world = self.world
        manner = FILING.draw(world.dice)
        if manner is Manner.NEVER:
            return
        minutes = world.dice.uniform(10, 200) + (LATE_ANSWER if manner is Manner.LATE else 0)
        at = world.hours.later(world.now, minutes)
        world.at(at, partial(self._answer_request, story, number, manner))

    async def _answer_request(self, story: Story, number: int, manner: Manner) -> None:
        world, authority = self.world, story.quarrel.authority
        is_accepted = world.dice.random() < ACCEPTED
        answer = Answer(
            is_accepted=is_accepted,
            clause=CLAUSE,
            reason=ReturnReason.UNSPECIFIED if is_accepted else ReturnReason.WRONG_FUNCTION,
        )
        is_wrong = manner is Manner.WRONG
        who = a_person(authority, "clerk7", Role.CLERK) if is_wrong else a_platform(authority)
        said = self._dispatch(story).requests.answer(
            world.call(who, "AnswerUnitRequest"),
            Target(number=story.number),
            number=number,
            answer=answer,
        )
        await world.attempt("wrong answer" if is_wrong else "answer request", said)

    # --- between authorities and provinces ----------------------------------------------------

    async def _offer(self, story: Story, index: int, looks: int) -> None:
        """Offer the ticket to the next one; one that is still out is looked at again."""
        world, quarrel = self.world, story.quarrel
        if story.case or index >= len(quarrel.others) or not looks:
            return
        target = quarrel.others[index]
        made = await world.attempt("offer", self._create(story, target))
        if isinstance(made, Transfer):
            manner = FILING.draw(world.dice)
            self._answer_later(story, target, manner)
            index += 1
        pause = timedelta(minutes=40) if story.is_urgent else timedelta(hours=6)
        at = world.hours.later(world.now + pause, world.dice.uniform(1, 30))
        world.at(at, partial(self._offer, story, min(index, len(quarrel.others) - 1), looks - 1))

    async def _create(self, story: Story, target: str) -> object:
        node = self._node(story.quarrel.holder)
        async with node.database.unit() as uow:
            return await node.tickets.transfers.create(
                uow,
                a_person(story.quarrel.holder, "dispatcher1", Role.DISPATCHER),
                ticket=story.number,
                target=AuthorityCode(target),
                reason=OfferReason.MANUAL,
            )

    def _answer_later(self, story: Story, target: str, manner: Manner) -> None:
        """Let the other side decline; it has what its invitation says when it comes."""
        world = self.world
        if manner in {Manner.NEVER, Manner.LATE}:
            at = None if manner is Manner.NEVER else self._window_end(story, target)
            if at is not None:
                late = world.hours.after(world.dice, at, is_urgent=story.is_urgent)
                world.at(late, partial(self._decline, story, target, manner))
            return
        delay = world.dice.uniform(2, 25)
        world.at(
            world.now + timedelta(minutes=delay), partial(self._decline, story, target, manner)
        )

    def _window_end(self, story: Story, target: str) -> Instant | None:
        rows = self._node(target).database.of_ticket(INVITATIONS, story.number).values()
        return max((row.window_end for row in rows if row.authority == target), default=None)

    async def _decline(self, story: Story, target: str, manner: Manner) -> None:
        node = self._node(target)
        rows = node.database.of_ticket(INVITATIONS, story.number).values()
        row = next((each for each in rows if each.authority == target), None)
        if row is None:
            self.world.refused["decline: over"] += 1
            return
        epoch = Epoch.from_key(row.epoch)
        name = f"tickets/{story.number}/transfers/{row.scope}-{row.number}-{epoch}"
        speaker = target if manner is not Manner.WRONG else story.quarrel.holder
        what = "decline" if manner is not Manner.WRONG else "wrong decline"
        await self.world.attempt(what, self._say_no(node, story, speaker, name))

    async def _say_no(self, node: StageNode, story: Story, speaker: str, name: str) -> object:
        others = [code for code in story.quarrel.others if code != speaker]
        async with node.database.unit() as uow:
            return await node.tickets.transfers.decline(
                uow,
                a_person(speaker, "dispatcher1", Role.DISPATCHER),
                name,
                reason=int(ReturnReason.WRONG_FUNCTION),
                clause=CLAUSE,
                proposed_owner=others[0],
            )

    # --- parts --------------------------------------------------------------------------------

    def _node(self, authority: str) -> StageNode:
        return self.world.stage.node_of(authority)

    def _dispatch(self, story: Story) -> DispatchRoom:
        return self._node(story.quarrel.authority).tickets.dispatch

    async def copy(self, story: Story) -> Ticket | None:
        """Return the copy of the authority whose quarrel it is."""
        node = self._node(story.quarrel.authority)
        async with node.database.unit() as uow:
            return await node.tickets.room.tickets.find(
                uow, AuthorityCode(story.quarrel.authority), story.number
            )


def handler_of(story: Story, unit: str) -> Principal:
    """Return who speaks for a unit without a platform of its own."""
    name = unit.removeprefix("units/").lower().replace("_", "-")
    return a_person(story.quarrel.authority, f"h-{name}", Role.HANDLER)
