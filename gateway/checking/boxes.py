"""Boxes: sets of tickets as a product of atoms, and what is left of one without a rule's area.

A box is a mask per dimension, and beside them three things that are no mask:

* *needs* and *bans* of risk tags and of reported kinds: the ticket has one of each needed set and
  none of the banned. A ticket may have many, so a box is possible as long as every needed set has
  a member that is not banned;
* *conditions*, each held or not. What an expression implies is left to `concrete`;
* states of the destination, a plain set.

`without` cuts a box by a rule's area into disjoint pieces (the disjoint sharp of logic
minimisation), so that a union of areas covers a box exactly when cutting by each in turn leaves
nothing. See docs/checking.md#cover.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from gateway.checking.space import Area


@dataclass(frozen=True, slots=True)
class AnyOf:
    """What a box says about a fact that is a set: one of each need, none of the bans."""

    needs: tuple[frozenset[object], ...] = ()
    bans: frozenset[object] = frozenset()

    def must_meet(self, wanted: frozenset[object]) -> bool:
        """Tell whether every ticket of the box has one of `wanted`."""
        return any(need - self.bans <= wanted for need in self.needs)

    def meeting(self, wanted: frozenset[object]) -> AnyOf | None:
        """Return the part that has one of `wanted`, None when there is none."""
        return AnyOf((*self.needs, wanted), self.bans) if wanted - self.bans else None

    def avoiding(self, wanted: frozenset[object]) -> AnyOf | None:
        """Return the part that has none of `wanted`, None when there is none."""
        bans = self.bans | wanted
        return AnyOf(self.needs, bans) if all(need - bans for need in self.needs) else None

    def chosen(self) -> frozenset[object]:
        """Return one member of each need that is not met yet."""
        if not self.needs:
            return frozenset()
        found: set[object] = set()
        for need in self.needs:
            free = need - self.bans
            if not free & found:
                found.add(min(free, key=str))
        return frozenset(found)


ANYTHING = AnyOf()


class Box(NamedTuple):
    """A set of tickets; see the module's text. A tuple, because a check makes millions."""

    masks: tuple[int, ...]
    tags: AnyOf = ANYTHING
    kinds: AnyOf = ANYTHING
    conditions: tuple[tuple[str, bool], ...] = ()
    states: frozenset[int] | None = None

    @classmethod
    def of(cls, area: Area) -> Box:
        """Return the box of everything in an area."""
        return cls(
            area.masks,
            AnyOf((frozenset(area.tags),)) if area.tags else ANYTHING,
            AnyOf((frozenset(area.kinds),)) if area.kinds else ANYTHING,
            ((area.condition, True),) if area.condition is not None else (),
            area.states,
        )

    @property
    def is_possible(self) -> bool:
        """Whether every dimension has an atom left."""
        return 0 not in self.masks

    def limited(self, dim: int, mask: int) -> Box:
        """Return the part of the box with these atoms of one dimension."""
        masks = self.masks
        return self._replace(masks=(*masks[:dim], masks[dim] & mask, *masks[dim + 1 :]))

    def within(self, area: Area) -> Box | None:
        """Return the part of the box inside an area, None when there is none."""
        return self.cut(area)[1]

    def without(self, area: Area) -> list[Box]:
        """Return disjoint pieces: the box without the area; itself when the two do not meet."""
        return self.cut(area)[0]

    def cut(self, area: Area) -> tuple[list[Box], Box | None]:
        """Return the disjoint pieces outside an area, and the part inside, if any.

        One dimension after the other: what sticks out is a piece, and the rest goes on.
        """
        masks = self.masks
        for one, other in zip(masks, area.masks, strict=True):
            if not one & other:
                return [self], None
        kept = masks
        pieces: list[Box] = []
        for dim, wanted in enumerate(area.masks):
            outside = masks[dim] & ~wanted
            if outside:
                pieces.append(Box((*kept[:dim], outside, *kept[dim + 1 :]), *self[1:]))
                kept = (*kept[:dim], masks[dim] & wanted, *kept[dim + 1 :])
        rest: Box | None = self if kept is masks else Box(kept, *self[1:])
        if not area.is_masks:
            for cut in _CUTS:
                if rest is None:
                    break
                piece, rest = cut(rest, area)
                if piece is not None:
                    pieces.append(piece)
        return pieces, rest


Step = tuple[Box | None, Box | None]  # what falls outside the area here, and what is still inside


def _cut_tags(box: Box, area: Area) -> Step:
    if area.tags is None or box.tags.must_meet(frozenset(area.tags)):
        return None, box
    wanted: frozenset[object] = frozenset(area.tags)
    outside, inside = box.tags.avoiding(wanted), box.tags.meeting(wanted)
    return (
        box._replace(tags=outside) if outside is not None else None,
        box._replace(tags=inside) if inside is not None else None,
    )


def _cut_kinds(box: Box, area: Area) -> Step:
    if area.kinds is None or box.kinds.must_meet(frozenset(area.kinds)):
        return None, box
    wanted: frozenset[object] = frozenset(area.kinds)
    outside, inside = box.kinds.avoiding(wanted), box.kinds.meeting(wanted)
    return (
        box._replace(kinds=outside) if outside is not None else None,
        box._replace(kinds=inside) if inside is not None else None,
    )


def _cut_condition(box: Box, area: Area) -> Step:
    text = area.condition
    if text is None:
        return None, box
    known = dict(box.conditions).get(text)
    if known is not None:
        return (None, box) if known else (box, None)
    return (
        box._replace(conditions=(*box.conditions, (text, False))),
        box._replace(conditions=(*box.conditions, (text, True))),
    )


def _cut_states(box: Box, area: Area) -> Step:
    if area.states is None:
        return None, box
    states = box.states if box.states is not None else ALL_STATES
    outside, inside = states - area.states, states & area.states
    return (
        box._replace(states=outside) if outside else None,
        box._replace(states=inside) if inside else None,
    )


_CUTS = (_cut_tags, _cut_kinds, _cut_condition, _cut_states)
ALL_STATES = frozenset({1, 2, 3})  # NORMAL, OVERLOADED, CLOSED
