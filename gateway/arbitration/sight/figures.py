"""What disputes are for each authority and unit: figures for diagnosis, never for a league table.

Every figure stands with its weight, every share with its Wilson interval (95 %: so wide would the
share of a like body vary by chance alone), and rows are in the order of codes. A count, or a share
of a weight, below the threshold of releases is withheld: these are releases too. Pure.

What counts: a case is of everybody it is about. Who filed it, or refused the ticket, and does not
claim it later *denies*; who says that it is theirs *claims*; others take no side. A ruling upholds
who denies and does not get the ticket, and who claims and gets it. Who had not spoken when the case
was ruled was silent; one that then has to take the ticket lost by its silence.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway.arbitration.model import Case, CaseRuling, Party
from gateway.kernel.codes import CaseEntryKind, CaseLevel, ReturnState, RulingKind
from gateway.kernel.time import Instant

Z95 = 1.959964  # two-sided 95 % of the normal distribution
SHARE_DIGITS = 3
Hours = Callable[[Instant, Instant], float]
"""Returns the working hours between two instants."""
_UPHELD = frozenset({ReturnState.GRANTED, ReturnState.ASSUMED})
_DECIDED = _UPHELD | {ReturnState.REFUSED}


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its weight and its 95 % Wilson interval."""

    weight: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Working hours: how many, the median and the ninth decile (nearest rank)."""

    weight: int
    p50: float
    p90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyFigures:
    """The figures of one authority or unit; None: withheld, or there are none."""

    party: Party
    returns: int | None
    cases: int | None
    upheld: Share | None
    in_dispute: Spread | None
    silent: Share | None
    lost_by_silence: Share | None
    withheld: bool


@dataclass(frozen=True, slots=True)
class Returned:
    """A return that a unit filed, and how it ended."""

    unit: str
    state: ReturnState


@dataclass(slots=True)
class _Tally:
    """What is counted for one party before anything is withheld."""

    returns: int = 0
    cases: int = 0
    sides: int = 0
    upheld: int = 0
    ruled: int = 0
    silent: int = 0
    lost: int = 0
    hours: list[float] = field(default_factory=list)


def share_of(count: int, weight: int, *, threshold: int) -> Share | None:
    """Return a share with its interval, or None where the weight is below the threshold."""
    if weight < max(threshold, 1):
        return None
    low, high = wilson(count, weight)
    return Share(weight, round(count / weight, SHARE_DIGITS), low, high)


def wilson(count: int, weight: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share, without continuity correction."""
    share, square = count / weight, Z95 * Z95
    centre = share + square / (2 * weight)
    spread = Z95 * math.sqrt(share * (1 - share) / weight + square / (4 * weight * weight))
    below = 1 + square / weight
    low, high = (centre - spread) / below, (centre + spread) / below
    return round(max(low, 0.0), SHARE_DIGITS), round(min(high, 1.0), SHARE_DIGITS)


def spread_of(hours: Sequence[float], *, threshold: int) -> Spread | None:
    """Return the quantiles of some durations, or None where they are fewer than the threshold."""
    if len(hours) < max(threshold, 1):
        return None
    ordered = sorted(hours)
    return Spread(len(ordered), _rank(ordered, 0.5), _rank(ordered, 0.9))


def parties(
    cases: Iterable[Case],
    returns: Iterable[Returned],
    *,
    shown: Callable[[Case, Party], bool],
    hours: Hours,
    threshold: int,
) -> tuple[PartyFigures, ...]:
    """Return the figures of every party that may be shown, by code."""
    tallies: defaultdict[Party, _Tally] = defaultdict(_Tally)
    for case in cases:
        for party in case.parties:
            if shown(case, party):
                _count(tallies[party], case, party, hours)
    for item in returns:
        tally = tallies[item.unit]
        tally.returns += 1
        tally.sides += item.state in _DECIDED
        tally.upheld += item.state in _UPHELD
    return tuple(_figures(party, tallies[party], threshold) for party in sorted(tallies))


def by_default(cases: Iterable[Case], *, threshold: int) -> Share | None:
    """Return the share of ruled cases that the clock decided, because nobody did in time."""
    first = [ruling for case in cases if (ruling := first_proper(case)) is not None]
    defaults = sum(ruling.kind is RulingKind.DEFAULT for ruling in first)
    return share_of(defaults, len(first), threshold=threshold)


def first_proper(case: Case) -> CaseRuling | None:
    """Return the ruling that ended the dispute first; an interim order does not."""
    return next((item for item in case.rulings if item.kind is not RulingKind.INTERIM), None)


def wanted(case: Case, party: Party) -> bool | None:
    """Tell whether a party claims the ticket (True), denies it (False), or takes no side (None)."""
    stated = [
        entry.proposed
        for entry in case.entries
        if entry.party == party and entry.kind is CaseEntryKind.POSITION and entry.proposed
    ]
    if stated:
        return stated[-1] == party
    return False if party in case.filers or party in case.proposed_targets else None


def _count(tally: _Tally, case: Case, party: Party, hours: Hours) -> None:
    side, ruling = wanted(case, party), first_proper(case)
    tally.cases += 1
    tally.returns += side is False and case.level is not CaseLevel.UNITS
    if ruling is None:
        return
    tally.ruled += 1
    tally.hours.append(hours(case.filed, ruling.issued))
    if side is not None:
        tally.sides += 1
        tally.upheld += side is (ruling.target == party)
    is_silent = party not in case.filers and not any(
        entry.party == party and entry.said <= ruling.issued for entry in case.entries
    )
    tally.silent += is_silent
    tally.lost += is_silent and ruling.target == party


def _figures(party: Party, tally: _Tally, threshold: int) -> PartyFigures:
    counts = (tally.returns, tally.cases)
    return PartyFigures(
        party=party,
        returns=tally.returns if tally.returns >= threshold else None,
        cases=tally.cases if tally.cases >= threshold else None,
        upheld=share_of(tally.upheld, tally.sides, threshold=threshold),
        in_dispute=spread_of(tally.hours, threshold=threshold),
        silent=share_of(tally.silent, tally.ruled, threshold=threshold),
        lost_by_silence=share_of(tally.lost, tally.ruled, threshold=threshold),
        withheld=any(count < threshold for count in counts),  # none is not told from few
    )


def _rank(ordered: Sequence[float], part: float) -> float:
    return round(ordered[max(math.ceil(part * len(ordered)), 1) - 1], 1)
