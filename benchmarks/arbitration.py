"""`lubiao bench arbitration`: how long disputes take, and what must never happen in them.

The simulated world (`arbitration_world.py`) lives through years of 10,000 tickets each, on a
business clock that jumps from event to event, until as many tickets as asked for were handed in.
One mix of manners has the goals; the others are lived through with a fortieth of the tickets, of
which every second is disputed, and without rules that come out of rulings. Times are in working
days as the law counts them: the day of the filing does not count, and what ends after closing time
ends on the next working day. Every figure that must be 0 is counted by code outside the product
(`arbitration_oracle.py`). The run is one simulation, so `--runs` repeats nothing.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence

import structlog

from benchmarks.arbitration_found import BY_CLOCK, BY_PRECEDENT, Found, Ruled, live
from benchmarks.arbitration_people import GOAL, MIXES, Mix
from benchmarks.arbitration_world import DISPUTED
from benchmarks.rows import Row
from gateway.kernel.codes import CaseLevel

WORLD_TICKETS = 10_000  # of one year; more would only make the engine's lists longer
SAMPLED = 40  # the mixes without a goal get one ticket in so many
SAMPLE_DISPUTED = 0.5  # and of these every second is disputed
SAMPLE_MIN = 100
COLLECT_EVERY = 20_000  # allocations, as a node does
SEED = 6_000


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    del runs
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    gc.set_threshold(COLLECT_EVERY)
    found = await years(tickets, GOAL)
    rows = [*times(found), *nevers(found), *costs(found)]
    for mix in MIXES:
        if mix is not GOAL:
            sampled = max(min(tickets, SAMPLE_MIN), tickets // SAMPLED)
            rows += beside(await years(sampled, mix, disputed=SAMPLE_DISPUTED), mix)
    return rows


async def years(tickets: int, mix: Mix, *, disputed: float = DISPUTED) -> Found:
    """Live through as many years as the tickets need; their figures together."""
    found, seed = Found(), SEED
    while tickets > 0:
        now = min(tickets, WORLD_TICKETS)
        year = await live(seed, tickets=now, mix=mix, disputed=disputed, with_rules=mix is GOAL)
        found.add(year)
        gc.collect()  # a whole world
        tickets, seed = tickets - now, seed + 1
    return found


def times(found: Found) -> list[Row]:
    """Return how long it took from the filing to the ruling, and to an order."""
    ruled = found.ruled
    days = [item.days for item in ruled]
    clock = sum(item.by == BY_CLOCK for item in ruled)
    same = sum(item.by == BY_PRECEDENT for item in ruled)
    note = f"{len(ruled)} rulings, {same} by a precedent, {clock} by the clock; {GOAL}"
    rows = [
        _row("ruling.p50", _quantile(days, 0.5), "working days", goal=1, note=note),
        _row("ruling.p99", _quantile(days, 0.99), "working days", goal=3),
        _row("ruling.max", max(days, default=None), "working days", goal=3),
        _row("ruling.hours_p50", _quantile([item.hours for item in ruled], 0.5), "business hours"),
        _row("interim.p50", _quantile(found.orders, 0.5), "hours"),
        _row(
            "interim.max",
            max(found.orders, default=None),
            "hours",
            goal=2,
            note=f"{len(found.orders)} urgent cases, until somebody is named",
        ),
    ]
    heard = [item for item in ruled if item.by != BY_PRECEDENT]
    rows.append(_row("ruling.without_precedents.p50", _quantile(_days(heard), 0.5), "working days"))
    for level in (CaseLevel.UNITS, CaseLevel.AUTHORITIES, CaseLevel.PROVINCES):
        own = [item for item in ruled if item.level is level]
        name = f"ruling.{level.name.lower()}"
        rows += [
            _row(f"{name}.p50", _quantile(_days(own), 0.5), "working days"),
            _row(f"{name}.max", max(_days(own), default=None), "working days", note=f"{len(own)}"),
        ]
    return rows


def nevers(found: Found) -> list[Row]:
    """Return what must be 0."""
    tries = sum(count for what, count in found.refused.items() if what.startswith("wrong"))
    counts: Sequence[tuple[str, int, str, str]] = (
        (
            "irresponsible",
            len(set(found.irresponsible)),
            "tickets",
            f"{found.looks:,} looks, one after every commit that changed a ticket; "
            f"in {found.awaited:,} a new custodian waited for the text",
        ),
        (
            "against_guards",
            len(found.against_guards),
            "rulings",
            f"tried {found.guards_tried} times",
        ),
        ("cycles", len(found.cycles), "tickets", "a unit led twice, and no ruling said so"),
        ("bodiless", len(found.bodiless), "cases", f"of {found.cases}"),
        ("unruled", len(found.unruled), "cases", f"{found.withdrawn} more ended by consent"),
        ("overdue", len(found.overdue), "cases", "at the end"),
        (
            "repeats",
            len(found.repeats),
            "cases",
            f"{found.calls_under_rule} tickets under {found.rules_accepted} accepted rules; of "
            f"{found.stubborn} that a unit returned all the same {found.stubborn_cases} were cases",
        ),
        ("differing", len(found.differing), "keys", f"{found.by_precedent} rulings by precedent"),
        ("routed_differently", len(found.routed_differently), "keys", "same rule version"),
        ("moved_wrongly", len(found.moved_wrongly), "cases", f"{tries} wrong statements refused"),
    )
    return [_row(name, count, unit, goal=0, note=note) for name, count, unit, note in counts]


def costs(found: Found) -> list[Row]:
    """Return what was simulated and what it cost."""
    cases = max(found.cases, 1)
    return [
        _row(
            "cases",
            found.cases,
            "cases",
            note=f"{found.cases / found.tickets:.1%} of {found.tickets:,} tickets",
        ),
        _row(
            "cost.ticket",
            1e3 * found.seconds_of_tickets / max(found.tickets, 1),
            "ms",
            note="processor time, in memory",
        ),
        _row(
            "cost.case",
            1e3 * found.seconds_of_disputes / cases,
            "ms",
            note="all that people, timers and peers did about it",
        ),
        _row(
            "cost.rule",
            1e3 * found.seconds_of_rules / max(found.rules_accepted, 1),
            "ms",
            note="proposed, tried on the past, accepted, checked, published",
        ),
    ]


def beside(found: Found, mix: Mix) -> list[Row]:
    """Return the figures of a mix without a goal."""
    days = _days(found.ruled)
    clock = sum(item.by == BY_CLOCK for item in found.ruled)
    note = f"{len(days)} rulings of {found.tickets} tickets, {clock} by the clock; {mix}"
    bad = [row.name for row in nevers(found) if row.value]
    return [
        _row(f"mix.{mix.name}.p50", _quantile(days, 0.5), "working days", note=note),
        _row(f"mix.{mix.name}.p99", _quantile(days, 0.99), "working days"),
        _row(f"mix.{mix.name}.max", max(days, default=None), "working days"),
        _row(f"mix.{mix.name}.interim_max", max(found.orders, default=None), "hours"),
        _row(f"mix.{mix.name}.never", len(bad), "figures", note=", ".join(bad) or "all are 0"),
    ]


def _days(ruled: Sequence[Ruled]) -> list[int]:
    return [item.days for item in ruled]


def _quantile(values: Sequence[float], share: float) -> float | None:
    """Return the least value that a share of all does not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def _row(
    name: str, value: float | None, unit: str, *, goal: float | None = None, note: str = ""
) -> Row:
    shown = None if value is None else float(f"{value:.4g}")
    met = None if goal is None else value is not None and value <= goal
    return Row(name=f"arbitration.{name}", value=shown, unit=unit, goal=goal, met=met, note=note)
