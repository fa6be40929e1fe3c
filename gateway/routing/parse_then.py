"""`then`, `notify` and `unless_accepted_within` → the action of a rule and what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.kernel.codes import EmergencyLine, InadmissibleReason
from gateway.kernel.ids import AuthorityCode
from gateway.reference.regions import Level
from gateway.reference.units import UnitRef
from gateway.routing.actions import (
    Assign,
    External,
    Fallback,
    Help,
    Lead,
    Legal,
    Merge,
    Next,
    Offer,
    Refer,
    RuleAction,
    Split,
    Triage,
)
from gateway.routing.document import Part
from gateway.routing.facts import RegionFact
from gateway.routing.scope import Scope

_FACTS: Mapping[str, RegionFact] = {fact.word: fact for fact in RegionFact}
_OFFER_FACTS = {"registration": RegionFact.REGISTRATION, "insurance": RegionFact.INSURED}
_PLACE = "place"


def action_of(part: Part | None, scope: Scope) -> RuleAction | None:
    """Return what a rule does; None when something is wrong with it, which is noted."""
    if part is None or len(part.values) != 1:
        return None
    (key,) = part.values
    inner = part.part(key)
    return _ACTIONS[key](inner, scope) if inner is not None else None


def refs_of(part: Part, key: str, scope: Scope) -> tuple[UnitRef, ...]:
    """Return the units and kinds of a list."""
    refs = (scope.ref(text, line) for text, line in part.texts(key))
    return tuple(ref for ref in refs if ref is not None)


def fallback_of(part: Part | None, scope: Scope) -> Fallback | None:
    """Return whom to ask when nobody accepts in time."""
    if part is None:
        return None
    hours, working = part.number("hours"), part.number("working_hours")
    targets: list[Next] = []
    for each in part.parts("then"):
        target = action_of(each, scope)
        if isinstance(target, Assign | Offer):
            targets.append(target)
    count = hours if hours is not None else working
    if count is None or not targets:
        return None
    return Fallback(count, hours is None, tuple(targets))


def _assign(part: Part, scope: Scope) -> Assign | None:
    key = "unit" if "unit" in part.values else "kind"
    lead = scope.ref(part.text(key), part.line_of(key)) if part.text(key) else None
    if lead is None:
        return None
    return Assign(
        lead=lead,
        level=Level.PROVINCE if part.text("level") else None,
        assisting=refs_of(part, "assist", scope),
        mandate=part.text("mandate"),
    )


def _offer(part: Part, scope: Scope) -> Offer | None:
    to = part.text("to")
    if to == _PLACE:
        return Offer(None)
    if to in _OFFER_FACTS:
        return Offer(None, _OFFER_FACTS[to])
    if not to or not scope.is_authority(to, part.line_of("to")):
        return None
    return Offer(AuthorityCode(to))


def _refer(part: Part, _: Scope) -> Refer | None:
    line = part.text("line")
    return Refer(EmergencyLine[line.upper()]) if line else None


def _external(part: Part, _: Scope) -> External | None:
    body = part.text("body")
    return External(body) if body else None


def _triage(part: Part, _: Scope) -> Triage | None:
    question = part.text("question")
    return Triage(question) if question else None


def _legal(part: Part, _: Scope) -> Legal | None:
    reason = part.text("reason")
    return Legal(InadmissibleReason[reason.upper()]) if reason else None


def _lead(part: Part, _: Scope) -> Lead | None:
    word = part.text("region")
    return Lead(_FACTS[word]) if word else None


def _help(part: Part, _: Scope) -> Help | None:
    word = part.text("region")
    return Help(_FACTS[word]) if word else None


_ACTIONS: Mapping[str, Callable[[Part, Scope], RuleAction | None]] = {
    "assign": _assign,
    "offer": _offer,
    "refer": _refer,
    "external": _external,
    "triage": _triage,
    "merge": lambda _part, _scope: Merge(),
    "legal": _legal,
    "lead": _lead,
    "help": _help,
    "split": lambda _part, _scope: Split(),
}
