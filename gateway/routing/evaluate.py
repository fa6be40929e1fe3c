"""The decision: total, pure, and the same for the same inputs (invariant I8).

First *which region leads* (regions_named.py): the place, its zone's host, or what a rule with
`lead` says. From then on that region stands for the place. Then the *normal answer* (choosing.py),
first answer wins:

1. *At once*: rules that hand to an emergency line; packs city → province → nation.
2. *Wherever it is*: rules that keep a matter at the province, send it to the place, merge it or do
   not accept it; packs city → province → nation, first match first.
3. *Whose place is it*: another authority's → offer, or external referral when it has not joined;
   uncertain → triage.
4. *Here*: all other rules, packs city → province → nation.
5. *The responsibility list*, and when a guard forbids its unit, the unit above.
6. *The triage desk*. Never silently the place's government.

A *diversion* may replace the normal answer because of the state of its destination (diverting.py).
Beside the answer: who is asked for help, what is split off, who is told, who is next (beside.py).

A rule whose outcome cannot be carried out (no such unit here) or that a guard forbids leaves the
question open, and the next one is asked (outcomes.py). Guards filter every unit, assisting ones
too. See docs/routing.md#decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import MappingProxyType

from gateway.kernel.ids import NATION, AuthorityCode
from gateway.kernel.time import Instant, to_microseconds
from gateway.kernel.values import replace
from gateway.reference.regions import Regions
from gateway.reference.units import Unit
from gateway.routing.beside import Beside
from gateway.routing.choosing import Choosing
from gateway.routing.destinations import Federation
from gateway.routing.diverting import Diverting, Snapshot
from gateway.routing.facts import RoutingFacts, States
from gateway.routing.guards import Watch
from gateway.routing.judging import Judge
from gateway.routing.model import Action, Decision, Guard, Pack, Reference
from gateway.routing.moment import moment_of
from gateway.routing.outcomes import Outcomes
from gateway.routing.packs import Candidate, PackSet
from gateway.routing.regions_named import Leading, NamedRegions
from gateway.routing.trace import TraceLog, canonical_bytes, trace_digest

NO_STATES: States = MappingProxyType({})


def decide(
    facts: RoutingFacts,
    *,
    authority: str,
    hosted: frozenset[str],
    joined: frozenset[str],
    packs: PackSet,
    reference: Reference,
    now: Instant,
    states: States = NO_STATES,
) -> Decision:
    """Return where the ticket goes; total: falls back to the authority's triage desk.

    `hosted` are the authorities of this node (their packs are evaluated), `joined` those of the
    federation that can take an offer, `states` a snapshot of how destinations stand.
    """
    regions, moment = reference.regions, moment_of(now, reference)
    owners = packs.owners(authority=authority, hosted=hosted, regions=regions)
    judge = Judge(facts, moment, log := TraceLog())
    named = NamedRegions(facts, reference, judge)
    leading, path, candidates = _leading(named, packs, owners=owners)
    outcomes = Outcomes(
        facts=facts,
        reference=reference,
        region=leading.region,
        path=path,
        federation=Federation(
            authority=AuthorityCode(authority), taking_part=joined | hosted, regions=regions
        ),
        watch=_watch(named, packs, owners=owners, path=path),
        named=named,
        log=log,
    )
    normal = Choosing(outcomes, judge, leading).choose(candidates)
    snapshot = Snapshot(states, now)
    choice = Diverting(outcomes, judge, snapshot).divert(normal, candidates)
    assigns = choice.action is Action.ASSIGN
    beside = Beside(outcomes, judge)
    notified, fallback = beside.notified(choice), beside.fallback(choice)
    helpers = named.helpers(candidates, authority=authority, assigns=assigns)
    split = beside.split(candidates, assigns=assigns)
    decision = Decision(
        action=choice.action,
        target=choice.target,
        rule=choice.rule,
        pack=choice.pack,
        legal_basis=choice.legal_basis,
        explanation=choice.explanation,
        offer_reason=choice.reason,
        assisting=choice.assisting,
        objections=tuple(outcomes.objections),
        identity_withheld=beside.withheld(choice, notified=notified, helping=helpers.regions),
        trace=log.finish(),
        trace_digest=b"",
        reference_version=reference.version,
        decide_time_microseconds=to_microseconds(now),
        leading_region=leading.region if path else "",
        lead_rule=leading.winner.rule.id if leading.winner else "",
        help_regions=helpers.regions,
        help_rules=helpers.rules,
        split_matters=split.matters,
        split_rules=split.rules,
        notify=notified,
        fallback=fallback,
        diverted_from=normal.target if choice is not normal else "",
        requestable=tuple(outcomes.requestable),
        failures=tuple(log.failures.values()),
        states=tuple(snapshot.used.values()),
    )
    return _digested(decision, facts, authority=authority, packs=packs.of(owners), now=now)


def _digested(
    decision: Decision, facts: RoutingFacts, *, authority: str, packs: Iterable[Pack], now: Instant
) -> Decision:
    content = canonical_bytes(decision, facts=facts, authority=authority, packs=packs, now=now)
    return replace(decision, trace_digest=trace_digest(content))


def find_guard(
    facts: RoutingFacts,
    unit: Unit,
    *,
    owners: tuple[str, ...],
    packs: PackSet,
    reference: Reference,
    now: Instant,
    mandate: str = "",
    is_request: bool = False,
) -> Guard | None:
    """Return the guard that forbids a unit that a person chose, or None.

    With `is_request` the person asks the unit, which is free to say no. Guards watch over the
    leading region here as they do in a decision.
    """
    moment = moment_of(now, reference)
    named = NamedRegions(facts, reference, Judge(facts, moment, TraceLog()))
    _, path, _ = _leading(named, packs, owners=owners)
    watch = _watch(named, packs, owners=owners, path=path)
    return watch.find_objection(unit, mandate=mandate, is_request=is_request)


def _watch(
    named: NamedRegions, packs: PackSet, *, owners: tuple[str, ...], path: tuple[str, ...]
) -> Watch:
    """Return the guards that watch over the ticket where it is led."""
    facts, reference = named.facts, named.reference
    region = path[0] if path else ""
    guards = packs.guards(
        facts, owners=owners, region=region, regions=reference.regions, moment=named.judge.moment
    )
    return Watch(guards, facts, reference)


def _leading(
    named: NamedRegions, packs: PackSet, *, owners: tuple[str, ...]
) -> tuple[Leading, tuple[str, ...], Sequence[Candidate]]:
    """Return the region that leads, its path, and the rules that select the ticket there."""
    regions, place = named.reference.regions, named.place()

    def asked(region: str) -> tuple[tuple[str, ...], list[Candidate]]:
        path = _path(region, regions)
        found = packs.candidates(
            named.facts,
            owners=owners,
            region=path[0] if path else "",
            regions=regions,
            moment=named.judge.moment,
        )
        return path, found

    path, candidates = asked(place)
    leading = named.leading(candidates, place=place)
    if leading.region != place:
        path, candidates = asked(leading.region)
    return leading, path, candidates


def _path(region: str, regions: Regions) -> tuple[str, ...]:
    """Return a region and what is above it; nothing when it is uncertain or the whole nation."""
    known = region != NATION and regions.current(region) is not None
    return regions.path(region) if known else ()
