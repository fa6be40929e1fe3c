"""The simulated world of `lubiao bench arbitration`: a year of tickets, some of them disputed.

The clock jumps from event to event: what people do (a heap of this world) and durable timers of the
product (`Stage`). Citizens call all year round, at night, on weekends and holidays, also in the
year whose calendar nobody has published yet. Of the tickets one in twenty or so is about a matter
that somebody quarrels about (`arbitration_quarrels.py`); these people then do what the manners of
their mix say (`arbitration_people.py`), through the verbs that the product serves. A refusal by the
product is an answer, counted by its reason; anything but a typed refusal ends the run.

Who is right is known to the panel, not to the product. A panel that acts in time takes a case up
while the parties write, rules two of three in the review, and hears the others in a conference. A
late panel lets every stage lapse and rules before the ruling is due; one that forgets leaves it to
the clock.
"""

from __future__ import annotations

import heapq
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from benchmarks.arbitration_oracle import Responsible
from benchmarks.arbitration_people import Hours, Manner, Mix
from benchmarks.arbitration_quarrels import AUTHORITIES, CALM, PROVINCES, UNITS, Quarrel
from benchmarks.arbitration_stage import IDS, Stage, a_person, a_platform, a_stage, reference
from gateway.arbitration.store import CASES
from gateway.dispatch.codec import submission_from_pb, to_bytes
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import TicketNumber
from gateway.kernel.time import Instant
from gateway.tickets.store import TICKETS as TICKET_COPIES
from gateway.trust.call import Call
from gateway.trust.principal import Principal, Role
from hotline.ticket.v1 import codes_pb2, ticket_pb2, ticket_service_pb2

START = datetime(2026, 2, 1, tzinfo=UTC)
LENGTH = timedelta(days=350)  # into January 2027, whose calendar is provisional
REST = timedelta(days=14)  # after the last call, for the last disputes to end
DISPUTED = 0.06  # about matters that somebody quarrels about; rules end some quarrels on the way
URGENT_SHARE = 0.15
CALM_PLACES = (
    ("130100", "130102"),
    ("130600", "130602"),
    ("131000", "131002"),
    ("120000", "120101"),
    ("310000", "310101"),
)

TICKETS, DISPUTES, RULES = PARTS = ("tickets", "disputes", "rules")
"""What processor time is spent for."""
Shares = Sequence[tuple[Sequence[Quarrel], float]]
SHARES: Shares = ((UNITS, 0.7), (AUTHORITIES, 0.2), (PROVINCES, 0.1))
Deed = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Story:
    """A ticket that somebody quarrels about."""

    quarrel: Quarrel
    number: TicketNumber
    is_urgent: bool
    created: Instant
    case: str = ""
    scope: str = ""
    plan: str = ""  # the manner of the panel
    is_stubborn: bool = False  # a unit returns what a rule of a ruling gave it


@dataclass(slots=True)
class World:
    """One year at eight authorities."""

    seed: int
    tickets: int
    mix: Mix
    disputed: float = DISPUTED
    shares: Shares = SHARES
    dice: random.Random = field(init=False)
    stage: Stage = field(init=False)
    hours: Hours = field(init=False)
    responsible: Responsible = field(init=False)
    stories: dict[str, Story] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    spent: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(PARTS, 0.0)
    )  # seconds of processor, by what for
    routed: dict[tuple[int, str, str], set[str]] = field(default_factory=dict)
    began: Callable[[Story, ticket_pb2.Ticket], None] | None = None
    opened: Callable[[Story], None] | None = None
    asked: Callable[[Story, int], None] | None = None  # a vertically managed body
    _events: list[tuple[Instant, int, str, Deed]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _new_cases: list[Any] = field(default_factory=list)
    _requests: set[tuple[str, int]] = field(default_factory=set)
    _heard: set[tuple[str, int]] = field(default_factory=set)
    _known_cases: set[tuple[Any, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Build the nodes and put the year's calls into the heap."""
        self.dice = random.Random(self.seed)  # noqa: S311 (a simulation, no secret)
        self.stage = a_stage(start=START, committed=self._committed)
        self.hours = Hours(reference().calendar)
        self.responsible = Responsible(self.stage.nodes)
        for node in self.stage.nodes.values():
            node.database.checked = self.responsible.check
        for number in range(self.tickets):
            at = self.hours.any_filing(self.dice, START, LENGTH)
            self.at(at, partial(self._call_in, number), what=TICKETS)

    @property
    def now(self) -> Instant:
        """Return the present instant of the world."""
        return self.stage.clock.now()

    def at(self, moment: Instant, deed: Deed, *, what: str = DISPUTES) -> None:
        """Let somebody do something at an instant, or at once when it is past."""
        at = max(moment, self.stage.clock.present)
        heapq.heappush(self._events, (at, next(self._order), what, deed))

    async def run(self) -> None:
        """Live through the year."""
        await self.stage.found()
        end = START + LENGTH + REST
        while True:
            person = self._events[0][0] if self._events else end
            timer = self.stage.next_timer or end
            moment = min(person, timer)
            if moment >= end:
                return
            self.stage.clock.present = max(moment, self.stage.clock.present)
            began, what = time.process_time(), DISPUTES
            if timer <= person:
                await self.stage.run_timers()
            else:
                _, _, what, deed = heapq.heappop(self._events)
                await deed()
                await self.stage.settle()
            self.responsible.check_at_rest()
            self._hear_of_cases()
            self._hear_of_requests()
            self.spent[what] += time.process_time() - began

    async def attempt(self, what: str, deed: Awaitable[Any]) -> Any | None:
        """Do something that the product may refuse; return its answer, or None."""
        try:
            answer = await deed
        except LubiaoError as error:
            self.refused[f"{what}: {error.reason}"] += 1
            return None
        self.done[what] += 1
        return answer

    def call(self, principal: Principal, method: str, body: bytes = b"") -> Call:
        """Return a request of somebody with a fresh id."""
        request_id = IDS.uuid7(self.now)
        return Call(principal=principal, method=method, request_id=request_id, body=body)

    # --- citizens -----------------------------------------------------------------------------

    async def _call_in(self, number: int) -> None:
        quarrel = self._quarrel()
        if quarrel is None:
            authority, region = self.dice.choice(CALM_PLACES)
            matter = self.dice.choice(CALM)
        else:
            authority, region, matter = quarrel.authority, quarrel.region, quarrel.matter
        is_urgent = self.dice.random() < URGENT_SHARE
        message = _message(number, region=region, matter=matter, is_urgent=is_urgent)
        request = ticket_service_pb2.CreateTicketRequest(ticket=message)
        node = self.stage.node_of(authority)
        answer = await node.tickets.dispatch.intake.create(
            self.call(a_platform(authority), "CreateTicket", to_bytes(request)),
            submission_from_pb(message),
        )
        self.done["ticket"] += 1
        ticket = ticket_pb2.Ticket.FromString(answer)
        version = (node.tickets.publishing.force.generation, authority, matter)
        units = [item.unit for item in ticket.assignments[:1]]
        self.routed.setdefault(version, set()).update(units)
        if quarrel is not None:
            name = TicketNumber(ticket.name.removeprefix("tickets/"))
            story = Story(quarrel, name, is_urgent, self.now)
            self.stories[name] = story
            if self.began is not None:
                self.began(story, ticket)

    def _quarrel(self) -> Quarrel | None:
        if self.dice.random() >= self.disputed:
            return None
        kinds = [quarrels for quarrels, _ in self.shares]
        [chosen] = self.dice.choices(kinds, [share for _, share in self.shares])
        return self.dice.choice(chosen)

    # --- what the product tells ---------------------------------------------------------------

    def _committed(self, table: str, key: tuple[Any, ...], row: Any | None) -> None:
        self.responsible.noted(table, row)
        if table == TICKET_COPIES.name and row is not None and row.unit_requests:
            self._requests.add((row.number, len(row.unit_requests)))
        if table == CASES.name and row is not None and key not in self._known_cases:
            self._known_cases.add(key)
            self._new_cases.append(row)

    def _hear_of_requests(self) -> None:
        new, self._requests = self._requests - self._heard, set()
        self._heard |= new
        for ticket, number in sorted(new):
            story = self.stories.get(ticket)
            if story is not None and self.asked is not None:
                self.asked(story, number)

    def _hear_of_cases(self) -> None:
        opened, self._new_cases = self._new_cases, []
        for row in opened:
            story = self.stories.get(row.ticket)
            if story is None or story.case:
                continue
            story.case, story.scope = row.case_id, row.scope
            if self.opened is not None:
                self.opened(story)

    def draw(self) -> Manner:
        """Return how the next person answers."""
        return self.mix.draw(self.dice)


def panel_of(scope: str) -> Principal:
    """Return the panel member of an arbiter."""
    return a_person(scope, "panel1", Role.PANEL_MEMBER)


def _message(number: int, *, region: str, matter: str, is_urgent: bool) -> ticket_pb2.Ticket:
    return ticket_pb2.Ticket(
        external_id=f"W-{number}",
        channel=codes_pb2.CHANNEL_PHONE,
        type=codes_pb2.TICKET_TYPE_COMPLAINT,
        matter=matter,
        urgency=codes_pb2.URGENCY_URGENT if is_urgent else codes_pb2.URGENCY_NORMAL,
        subject_kind=codes_pb2.SUBJECT_KIND_NATURAL_PERSON,
        content=ticket_pb2.TicketContent(
            title="测试事项",
            content="测试内容：模拟世界里的一件事。",
            place=ticket_pb2.Place(region=region, address="示例路（虚构）"),
        ),
        citizen=ticket_pb2.Citizen(display_name="测试人员甲", phones=["13800138000"]),
    )
