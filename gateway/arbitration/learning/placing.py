"""Where a proposed rule stands: right before the rule that decides such a ticket now.

The first match of a pack wins and packs of one owner are asked in the order of their names, so a
rule at the very front would also beat narrower rules of the authority that have nothing to do with
the dispute. Right before the rule that decided it beats that one; all that stands before was asked
first and did not decide, and is asked first still. Where none of the authority's own rules decided
(the responsibility list, a pack above, the desk) it is asked after all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.arbitration.learning.backing import Backing
from gateway.arbitration.learning.proposing import OWN_PACK
from gateway.arbitration.precedents.model import PrecedentKey
from gateway.kernel.codes import Urgency
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant
from gateway.routing.evaluate import decide
from gateway.routing.model import Pack, RoutingFacts


@dataclass(frozen=True, slots=True)
class Place:
    """A pack, None where the authority has none, and the rule before which a new one stands."""

    scope: str
    base: Pack | None
    before: str = ""

    @property
    def pack(self) -> str:
        """The name of the pack, also of one that is to be made."""
        return self.base.pack if self.base is not None else f"{self.scope}.{OWN_PACK}"

    @property
    def version(self) -> str:
        """The version of the pack in force; empty without one."""
        return self.base.version if self.base is not None else ""

    @property
    def source(self) -> bytes | None:
        """The text of the pack, or None without one."""
        return self.base.source.encode() if self.base is not None else None


def place_for(backing: Backing, scope: str, facts: RoutingFacts, *, now: Instant) -> Place:
    """Return where a rule about a ticket like this one stands; the rules in force must be known."""
    own = own_packs(backing, scope)
    if not own:
        return Place(scope, None)
    decision = decide(
        facts,
        authority=AuthorityCode(scope),
        hosted=backing.hosted(),
        joined=backing.joined(),
        packs=backing.rules(),
        reference=backing.reference(),
        now=now,
    )
    found = next((pack for pack in own if pack.label == decision.pack), None)
    return Place(scope, own[-1]) if found is None else Place(scope, found, decision.rule)


def facts_of_key(key: PrecedentKey, *, region: str) -> RoutingFacts:
    """Return what a key says of a ticket of which there is no copy."""
    return RoutingFacts(
        region=region, matter=key.matter, type=int(key.type), urgency=int(Urgency.NORMAL)
    )


def own_packs(backing: Backing, scope: str) -> list[Pack]:
    """Return the packs in force of an authority, in the order in which they are asked."""
    own = [pack for pack in backing.rules().packs if pack.owner == scope]
    return sorted(own, key=lambda pack: pack.pack)
