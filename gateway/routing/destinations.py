"""Whose place is it, and to whom may this authority offer: the geography of hand-over.

Hand-over goes province to province and then down; inside a province between its cities and the
province itself (docs/custody.md, scopes). So a city never offers across its province's border: it
offers home, and the province goes on. A destination outside the federation is referred externally.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.kernel.codes import OfferReason
from gateway.kernel.ids import AuthorityCode
from gateway.reference.regions import Level, Regions
from gateway.routing.model import province_of


@dataclass(frozen=True, slots=True)
class Here:
    """The deciding authority keeps the ticket: the place is its own, or nobody else's."""


@dataclass(frozen=True, slots=True)
class Towards:
    """Offer custody to `authority`."""

    authority: AuthorityCode
    reason: OfferReason


@dataclass(frozen=True, slots=True)
class Outside:
    """`authority` has not joined the federation."""

    authority: AuthorityCode


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A city whose own province is not in the federation: a person must look."""

    authority: AuthorityCode


Way = Here | Towards | Outside | Unreachable


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """Who takes part, seen from the deciding authority."""

    authority: AuthorityCode
    taking_part: frozenset[str]
    regions: Regions

    def home_of(self, region: str) -> AuthorityCode:
        """Return the authority of a place: its city, else its province; it may not have joined."""
        path = self.regions.path(region)
        cities = (code for code in path if self.regions.level(code) is Level.CITY)
        return AuthorityCode(next(cities, None) or self.regions.province_of(region) or path[-1])

    def way_to(self, destination: AuthorityCode, *, reason: OfferReason) -> Way:
        """Return how this authority gets a ticket towards `destination`, for `reason`."""
        own, other = province_of(self.authority), province_of(destination)
        if destination == self.authority or own is None or other is None:
            return Here()
        is_city = self.authority != own
        if own != other:
            return self._home(OfferReason.OUTBOUND) if is_city else self._abroad(other, reason)
        if destination != own and destination in self.taking_part:
            return Towards(destination, reason)
        return self._home(OfferReason.ESCALATE) if is_city else Here()

    def way_home(self) -> Way:
        """Return how a city hands a ticket to its province; `Here` for the province itself."""
        own = province_of(self.authority)
        return self._home(OfferReason.ESCALATE) if own not in {None, self.authority} else Here()

    def _abroad(self, province: AuthorityCode, reason: OfferReason) -> Way:
        return Towards(province, reason) if province in self.taking_part else Outside(province)

    def _home(self, reason: OfferReason) -> Way:
        own = province_of(self.authority) or self.authority
        return Towards(own, reason) if own in self.taking_part else Unreachable(own)
