"""What a year of the simulated world showed: every dispute, and what must never have happened."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from benchmarks.arbitration_filing import Filing
from benchmarks.arbitration_hearing import Hearing
from benchmarks.arbitration_oracle import broken_guards, cycles, guards
from benchmarks.arbitration_people import Mix
from benchmarks.arbitration_quarrels import Quarrel
from benchmarks.arbitration_steward import Steward
from benchmarks.arbitration_world import (
    DISPUTED,
    DISPUTES,
    RULES,
    SHARES,
    TICKETS,
    Shares,
    Story,
    World,
)
from gateway.arbitration.store import CASES, RULINGS, CaseRow, RulingRow
from gateway.kernel.codes import CaseLevel, CaseState, RulingKind
from gateway.kernel.ids import NATION
from gateway.kernel.time import Instant

BY_PRECEDENT, BY_CLOCK = "precedent", "arbitration"  # ids of the system principals that rule
PANEL = "panel"


@dataclass(frozen=True, slots=True)
class Ruled:
    """One case with a ruling proper."""

    level: CaseLevel
    is_urgent: bool
    days: int  # working days from the filing, its own day not counted
    hours: float  # of business
    by: str  # panel, precedent, or the clock
    panel: str  # the manner of the panel


@dataclass(slots=True)
class Found:
    """The figures of one year, or of several put together."""

    tickets: int = 0
    cases: int = 0
    ruled: list[Ruled] = field(default_factory=list)
    orders: list[float] = field(default_factory=list)  # hours until somebody is named, urgent
    withdrawn: int = 0
    unruled: list[str] = field(default_factory=list)
    overdue: list[str] = field(default_factory=list)  # a ruling is due at the end, and late
    bodiless: list[str] = field(default_factory=list)
    looks: int = 0
    irresponsible: list[str] = field(default_factory=list)
    against_guards: list[str] = field(default_factory=list)
    guards_tried: int = 0
    cycles: list[str] = field(default_factory=list)
    differing: list[str] = field(default_factory=list)
    by_precedent: int = 0
    rules_accepted: int = 0
    rules_declined: int = 0
    rules_given_up: list[str] = field(default_factory=list)
    calls_under_rule: int = 0  # about a quarrel whose rule was in force when the ticket came
    seconds_of_tickets: float = 0.0  # of processor
    seconds_of_disputes: float = 0.0
    seconds_of_rules: float = 0.0
    awaited: int = 0  # looks at a ticket whose new custodian has not got its text yet
    routed_differently: list[str] = field(default_factory=list)
    stubborn: int = 0  # tickets under a rule that their unit returned all the same
    stubborn_cases: int = 0
    repeats: list[str] = field(default_factory=list)
    moved_wrongly: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)

    def add(self, other: Found) -> None:
        """Put another year's figures to these."""
        for name in Found.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, name, mine + theirs)


async def live(
    seed: int,
    *,
    tickets: int,
    mix: Mix,
    disputed: float = DISPUTED,
    shares: Shares = SHARES,
    with_rules: bool = True,
) -> Found:
    """Live through one year and return what it showed."""
    world = World(seed, tickets, mix, disputed=disputed, shares=shares)
    filing, hearing, steward = Filing(world), Hearing(world), Steward(world)
    world.began, world.opened, world.asked = filing.began, hearing.opened, filing.asked
    hearing.ruled = steward.ruled if with_rules else None
    await world.run()
    return found_of(world, hearing, steward)


def found_of(world: World, hearing: Hearing, steward: Steward) -> Found:
    """Read the figures out of what is at rest at the end."""
    found = Found(
        tickets=world.done["ticket"],
        looks=world.responsible.looks,
        irresponsible=list(world.responsible.without),
        guards_tried=hearing.forbidden_tried,
        rules_accepted=len(steward.accepted),
        rules_declined=steward.declined,
        rules_given_up=steward.given_up,
        moved_wrongly=hearing.wrong_changed,
        seconds_of_tickets=world.spent[TICKETS],
        seconds_of_disputes=world.spent[DISPUTES],
        seconds_of_rules=world.spent[RULES],
        awaited=sum(world.responsible.awaited.values()),
        routed_differently=[str(key) for key, units in world.routed.items() if len(units) > 1],
        refused=world.refused,
        done=world.done,
    )
    outcomes: dict[Quarrel, set[str]] = defaultdict(set)
    ruled_at: dict[str, list[Instant]] = defaultdict(list)
    for node in world.stage.nodes.values():
        rulings = _by_case(node.database.rows(RULINGS))
        for case in node.database.rows(CASES):
            given = rulings.get((case.scope, case.case_id), [])
            ruled_at[case.ticket] += [item.issued for item in given]
            ruled_at[case.ticket] += [item.taken for item in given if item.taken]
            story = world.stories.get(case.ticket)
            _look_at(found, world, story, case, given)
            _compare(outcomes, story, given)
    for node in world.stage.nodes.values():
        found.cycles += cycles(node, ruled_at)
    found.differing = [
        f"{quarrel.authority}/{quarrel.matter}"
        for quarrel, targets in outcomes.items()
        if len(targets) > 1
    ]
    _look_at_rules(found, world, steward.accepted)
    return found


def _look_at(
    found: Found,
    world: World,
    story: Story | None,
    case: CaseRow,
    given: list[RulingRow],
) -> None:
    found.cases += 1
    if not _has_body(world, case, given):
        found.bodiless.append(case.case_id)
    proper = [item for item in given if item.kind != int(RulingKind.INTERIM)]
    if story is not None and story.is_urgent and given:
        found.orders.append((given[0].issued - case.filed) / timedelta(hours=1))
    if case.due is not None and case.due < world.now:
        found.overdue.append(case.case_id)
    if not proper:
        if case.state == int(CaseState.WITHDRAWN):
            found.withdrawn += 1
        else:
            found.unruled.append(case.case_id)
        return
    first = proper[0]
    ruler = first.ruler.rpartition("/")[2]
    by = ruler if ruler in {BY_PRECEDENT, BY_CLOCK} else PANEL
    found.by_precedent += by == BY_PRECEDENT
    found.ruled.append(
        Ruled(
            level=CaseLevel(case.level),
            is_urgent=story is not None and story.is_urgent,
            days=world.hours.days(case.filed, first.issued),
            hours=world.hours.minutes(case.filed, first.issued) / 60,
            by=by,
            panel=story.plan if story is not None else "",
        )
    )
    known = guards()
    for item in proper:
        # A body of its own line is asked; what a ruling cannot do is to bind it.
        broken = broken_guards(known, item.target, matter=case.matter, is_asked=True)
        for party, matter in item.parts:
            broken += broken_guards(known, party, matter=matter or case.matter)
        found.against_guards += [f"{case.case_id}: {guard}" for guard in broken]


def _has_body(world: World, case: CaseRow, given: Iterable[RulingRow]) -> bool:
    """Tell whether the one ruling body of a case's level is named, and all rulings are its own."""
    expected = {
        CaseLevel.UNITS: case.scope,  # the authority rules about its own units
        CaseLevel.AUTHORITIES: f"{case.scope[:2]}0000",
        CaseLevel.PROVINCES: str(NATION),
    }.get(CaseLevel(case.level))
    is_here = world.stage.roster.node_of(case.scope) is not None
    own = all(item.ruler.startswith(f"lubiao://{case.scope}/") for item in given)
    return case.scope == expected and is_here and own


def _compare(
    outcomes: dict[Quarrel, set[str]], story: Story | None, given: Iterable[RulingRow]
) -> None:
    """Note whom precedents named; one quarrel is one key, and who is right in it is a role."""
    if story is None:
        return
    for item in given:
        if item.ruler.endswith(f"/system/{BY_PRECEDENT}"):
            outcomes[story.quarrel].add(item.target)


def _look_at_rules(found: Found, world: World, accepted: Mapping[Quarrel, Instant]) -> None:
    for story in world.stories.values():
        since = accepted.get(story.quarrel)
        if since is not None and story.created >= since:
            found.calls_under_rule += 1
            found.stubborn += story.is_stubborn
            if story.is_stubborn:
                found.stubborn_cases += bool(story.case)
            elif story.case:
                found.repeats.append(story.case)


def _by_case(rows: Iterable[RulingRow]) -> dict[tuple[str, str], list[RulingRow]]:
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows:
        found[row.scope, row.case_id].append(row)
    for items in found.values():
        items.sort(key=lambda item: item.number)
    return found
