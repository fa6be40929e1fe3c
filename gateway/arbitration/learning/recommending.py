"""What a panel is told before it rules: who has such a ticket, and which source says so. Pure.

A recommendation decides nothing and has no score. Each names its source, what the source says in
words that a person can look up, and who else says otherwise: sources that disagree are shown side
by side, and the panel weighs them. A near precedent says what the case differs in; because it
speaks of another quarrel, it contradicts nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from gateway.arbitration.model import UNIT_PREFIX, Party
from gateway.kernel.codes import RouteDecisionAction
from gateway.reference.responsibility import Answer, Found, explain
from gateway.routing.model import Decision

AUTHORITY_PREFIX = "authorities/"
RECOMMENDATIONS_MAX = 32  # ten precedents, the list, and the rules of a path of authorities


class Source(Enum):
    """Where a recommendation comes from; the value is the word in messages."""

    LIST = "responsibility-list"
    PRECEDENT = "precedent"
    NEAR = "near-precedent"
    RULE = "rule"  # of the ruling authority, or of a party on this node
    PEER_RULE = "peer-rule"  # of a party on another node, as its signed summary says


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """What one source says.

    `reference` is what to look up: an entry of the list, `precedents/{case}`, a pack with version
    and rule. `party` is whom it names; empty: nobody. `owner` is whose source it is. `differs`
    names what a near precedent differs in; `against` are the references that name somebody else.
    """

    source: Source
    reference: str
    party: Party
    owner: str
    says: str
    differs: tuple[str, ...] = ()
    against: tuple[str, ...] = ()


def by_list(answer: Answer, *, owner: str, between_units: bool) -> Recommendation:
    """Return what the responsibility list says; between authorities, whose unit it is."""
    says = explain(answer)[-1]
    if not isinstance(answer, Found):
        return Recommendation(
            source=Source.LIST, reference=Source.LIST.value, party="", owner=owner, says=says
        )
    unit = f"{UNIT_PREFIX}{answer.unit.unit_id}"
    return Recommendation(
        source=Source.LIST,
        reference=answer.entry_id,
        party=unit if between_units else answer.unit.authority,
        owner=owner,
        says=says,
    )


def by_rules(
    decision: Decision, *, owner: str, between_units: bool, is_peer: bool
) -> Recommendation:
    """Return what the rules of an authority say of the ticket, as if it decided now."""
    match decision.action:
        case RouteDecisionAction.ASSIGN:
            party = decision.target if between_units else owner
            says = f"由 {decision.target} 主办"
        case RouteDecisionAction.OFFER:
            to = decision.target.removeprefix(AUTHORITY_PREFIX)
            party, says = "" if between_units else to, f"移交 {to}"
        case action:
            party, says = "", f"{action.name}：{decision.target}"
    helpers = "、".join(decision.assisting)
    return Recommendation(
        source=Source.PEER_RULE if is_peer else Source.RULE,
        reference=f"{decision.pack}#{decision.rule}",
        party=party,
        owner=owner,
        says=f"{says}{f'，协办 {helpers}' if helpers else ''}：{decision.explanation}",
    )


def rules_unknown(owner: str) -> Recommendation:
    """Return that nobody here knows the rules of a party."""
    return Recommendation(
        source=Source.PEER_RULE,
        reference=f"{owner}.*",
        party="",
        owner=owner,
        says="本节点没有收到该机构规则的签名摘要",
    )


def compared(items: Iterable[Recommendation]) -> tuple[Recommendation, ...]:
    """Return the recommendations, each with those that name somebody else."""
    found = tuple(items)[:RECOMMENDATIONS_MAX]
    return tuple(replace(each, against=_against(each, found)) for each in found)


def _against(one: Recommendation, items: Iterable[Recommendation]) -> tuple[str, ...]:
    if not one.party or one.source is Source.NEAR:
        return ()
    others = (
        other.reference
        for other in items
        if other.party and other.source is not Source.NEAR and other.party != one.party
    )
    return tuple(dict.fromkeys(others))
