"""What reaches an authority's triage desk because nothing decides it: region x matter x type.

Where the responsibility list and the guards alone leave a ticket to the desk (see `grounds`), the
rules that can be carried out there are taken away from the cell; what is left is a gap, and a
ticket of it is the witness. Tickets of a month weigh it, when there is a history. A rule that asks
for triage is somebody's decision and no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.checking.boxes import Box
from gateway.checking.cover import No, leftover
from gateway.checking.grounds import Ground, Terrain, pieces
from gateway.checking.model import Cell, Check, Finding, History, Witness
from gateway.checking.space import NO, Area, Dim, Land, bits, members_of
from gateway.checking.within import MAIN, Book, Clause
from gateway.kernel.codes import Channel, TicketType, Urgency
from gateway.kernel.values import replace
from gateway.reference.matters import matter_path
from gateway.routing.model import RoutingFacts, Stage
from gateway.routing.moment import moment_of

CELLS_NAMED_MAX = 3  # in the text; all of them are in `cells`
CELLS_MAX = 200  # of one finding
_TYPES = tuple(TicketType)
_COMPLAINT = _TYPES.index(TicketType.COMPLAINT)
Held = tuple[Clause, Area]
Cut = dict[int, list[str]]  # by the types that nothing decides (a mask): the regions
Pieces = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(slots=True)
class Gaps:
    """The gaps of one authority, by its own packs and those above."""

    book: Book
    land: Land
    terrain: Terrain
    history: History | None
    _rules: list[Held] = field(init=False)
    _pieces: dict[frozenset[str], Pieces] = field(init=False, default_factory=dict)
    _plainness: dict[int, bool] = field(init=False, default_factory=dict)
    _plain_met: dict[int, bool] = field(init=False, default_factory=dict)
    _point: dict[Dim, int] = field(init=False)
    _counted: dict[tuple[str, int], list[tuple[str, int]]] = field(init=False)

    def __post_init__(self) -> None:
        """Gather the rules of today and what was counted."""
        present = self.book.space.present
        self._rules = [
            (clause, area)
            for clause, area in self._asked()
            if all(area.masks) and area.masks[Dim.DAY] & present
        ]
        self._point = self._plain_point()
        self._counted = {}
        for (region, matter, kind), count in (self.history.cells if self.history else {}).items():
            self._counted.setdefault((matter, kind), []).append((region, count))

    def _asked(self) -> Iterator[Held]:
        for question in self.book.questions:
            if question.stages is MAIN:
                yield from zip(question.clauses, question.areas, strict=True)
        for clause in self.book.above:
            stage = clause.rule.stage
            if stage in MAIN:
                yield clause, self.book.space.area(clause.rule, is_home=stage is Stage.HERE)

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each part of the catalogue that has gaps."""
        if not self.terrain.is_anywhere:
            return
        by_atom: dict[int, list[Held]] = {}
        for held in self._rules:
            for atom in bits(held[1].masks[Dim.MATTER]):
                by_atom.setdefault(atom, []).append(held)
        by_part: dict[str, list[tuple[Cell, Witness]]] = {}
        for matter in self.land.reference.matters:
            path = matter_path(matter.code)
            atom = self._atom(path)
            cells = self._of_matter(matter.code, atom, by_atom.get(atom, ()))
            if cells:
                by_part.setdefault(path[-1], []).extend(cells)
        for part, cells in by_part.items():
            yield self._finding(part, cells)

    def _atom(self, path: Sequence[str]) -> int:
        numbers = self.book.space.matters.numbers
        named = next((code for code in path if code in numbers), "")
        return numbers[named]

    # --- one matter --------------------------------------------------------------------------

    def _of_matter(
        self, matter: str, atom: int, rules: Sequence[Held]
    ) -> list[tuple[Cell, Witness]]:
        facts = RoutingFacts(
            region="",
            matter=matter,
            type=int(TicketType.COMPLAINT),
            urgency=int(Urgency.NORMAL),
            channel=int(Channel.PHONE),
        )
        cut: Cut = {}
        witnesses: dict[int, Witness] = {}
        for likeness in range(len(self.terrain.examples)):
            for regions, types, witness in self._of_likeness(likeness, facts, atom, rules):
                cut.setdefault(types, []).extend(regions)
                witnesses.setdefault(types, witness)
        return [
            (cell, witnesses[types])
            for types, regions in cut.items()
            for cell in self._cells(frozenset(regions), matter, types)
        ]

    def _of_likeness(
        self, likeness: int, facts: RoutingFacts, atom: int, rules: Sequence[Held]
    ) -> Iterator[tuple[Sequence[str], int, Witness]]:
        """Yield regions that are alike, the types that nothing decides there, and a ticket."""
        empty = sum(
            1 << number
            for number, kind in enumerate(_TYPES)
            if self.terrain.is_empty(likeness, facts, int(kind))
        )
        if not empty:
            return
        areas = [
            area for clause, area in rules if self.terrain.carries(clause.rule, likeness, facts)
        ]
        touched = 0
        for area in areas:
            touched |= area.masks[Dim.REGION]
        untouched: Sequence[str] = self.terrain.members[likeness]
        if touched:
            free: list[str] = []
            for ground in self.terrain.grounds[likeness]:
                if not touched >> ground.atom & 1:
                    free += ground.members
                    continue
                types, witness = self._open(ground, empty, facts, atom, areas)
                if types:
                    yield ground.members, types, witness
            untouched = free
        if untouched:
            yield untouched, empty, self._plain(facts, untouched[0], empty)

    def _plain(self, facts: RoutingFacts, region: str, types: int) -> Witness:
        kind = facts.type if types >> _COMPLAINT & 1 else int(_TYPES[bits(types)[0]])
        book = self.book
        return Witness(replace(facts, region=region, type=kind), book.owner, book.concrete.now)

    def _open(
        self, ground: Ground, empty: int, facts: RoutingFacts, atom: int, areas: Sequence[Area]
    ) -> tuple[int, Witness]:
        """Return the types that nothing decides here, and a ticket of one of them."""
        met = sure = 0
        here: list[Area] = []
        for area in areas:
            if area.masks[Dim.REGION] >> ground.atom & 1:
                here.append(area)
                if self._meets_plain(area):
                    met |= area.masks[Dim.TYPE]
                    if self._is_plain(area):
                        sure |= area.masks[Dim.TYPE]
        plain = found = empty & ~met
        witness: Witness | None = None
        for number in bits(empty & met & ~sure):
            box = self._box(ground.atom, atom, number)
            left = leftover(box, here, self.book.concrete.possible).box
            ticket = self.book.concrete.settle(left) if left is not None else No.NONE
            if isinstance(ticket, No):
                continue  # no gap is claimed without a ticket that shows it
            found |= 1 << number
            if witness is None:
                shown = replace(ticket.facts, region=ground.members[0], matter=facts.matter)
                witness = Witness(shown, ticket.authority, ticket.now)
        if witness is None or plain:
            witness = self._plain(facts, ground.members[0], plain or empty)
        return found, witness

    def _meets_plain(self, area: Area) -> bool:
        """Tell whether an area may have the ticket of `_plain`; a condition may always hold."""
        found = self._plain_met.get(id(area))
        if found is None:
            point = self._point
            found = self._plain_met[id(area)] = not (area.tags or area.kinds) and all(
                area.masks[dim] & mask for dim, mask in point.items()
            )
        return found

    def _plain_point(self) -> dict[Dim, int]:
        """Return where the ticket of `_plain` lies in the dimensions that are not cut by hand."""
        space = self.book.space
        moment = moment_of(self.book.concrete.now, self.land.reference)
        days = [
            number
            for number in bits(space.present)
            if space.days[number].kind in {None, moment.day_kind}
        ]
        minute = max(n for n, first in enumerate(space.minutes) if first <= moment.minute)
        return {
            Dim.CHANNEL: 1 << members_of(Dim.CHANNEL).index(Channel.PHONE),
            Dim.URGENCY: 1 << members_of(Dim.URGENCY).index(Urgency.NORMAL),
            Dim.SUBJECT: 1,
            Dim.ZONE: 1,
            Dim.SECRECY: NO,
            Dim.BOUNDARY: NO,
            Dim.REPORTED: NO,
            Dim.DAY: 1 << days[0],
            Dim.MINUTE: 1 << minute,
        }

    def _is_plain(self, area: Area) -> bool:
        """Tell whether an area is about nothing but place, matter and type."""
        found = self._plainness.get(id(area))
        if found is None:
            full, masks = self.book.space.full, area.masks
            found = self._plainness[id(area)] = (
                area.is_masks
                and masks[Dim.CHANNEL : Dim.DAY] == full[Dim.CHANNEL : Dim.DAY]
                and not self.book.space.present & ~masks[Dim.DAY]
                and masks[Dim.MINUTE] == full[Dim.MINUTE]
            )
        return found

    def _box(self, region: int, matter: int, kind: int) -> Box:
        space = self.book.space
        masks = list(space.full)
        masks[Dim.REGION], masks[Dim.MATTER] = 1 << region, 1 << matter
        masks[Dim.TYPE], masks[Dim.REPORTED] = 1 << kind, NO
        masks[Dim.ZONE], masks[Dim.DAY] = 1, space.present
        return Box(tuple(masks))

    # --- words -------------------------------------------------------------------------------

    def _cells(self, regions: frozenset[str], matter: str, types: int) -> list[Cell]:
        found = self._pieces.get(regions)
        if found is None:
            found = self._pieces[regions] = pieces(regions, self.land)
        numbers = tuple(int(_TYPES[number]) for number in bits(types))
        cells = []
        for area, excepted in found:
            tickets = 0
            for kind in numbers if self._counted else ():
                for region, count in self._counted.get((matter, kind), ()):
                    if region == area or (not excepted and self._is_in(region, area)):
                        tickets += count
            cells.append(Cell(area, excepted, matter, numbers, tickets))
        return cells

    def _is_in(self, region: str, area: str) -> bool:
        return self.land.regions.is_within(region, area)

    def _finding(self, part: str, cells: list[tuple[Cell, Witness]]) -> Finding:
        # The heaviest first; without a history the smallest code.
        ranked = sorted(cells, key=lambda each: (-each[0].tickets, each[0].matter, each[0].area))
        tickets = sum(cell.tickets for cell, _ in cells)
        named = "；".join(_text(cell) for cell, _ in ranked[:CELLS_NAMED_MAX])
        more = f"等 {len(cells)} 处" if len(cells) > CELLS_NAMED_MAX else ""
        matters = self.land.reference.matters
        title = found.name if (found := matters.find(part)) is not None else part
        weight = f"，{self.history.days} 天内 {tickets} 件" if self.history else ""
        return Finding(
            code=Check.GAP,
            pack=self.book.packs[0].pack,
            values=(f"{self.book.owner} {title}", f"{named}{more}{weight}"),
            witness=ranked[0][1],
            cells=tuple(cell for cell, _ in ranked[:CELLS_MAX]),
            tickets=tickets,
        )


def _text(cell: Cell) -> str:
    kinds = members_of(Dim.TYPE)
    every = len(cell.types) == len(kinds)
    types = "各类" if every else "、".join(TicketType(kind).zh for kind in cell.types)
    area = f"{cell.area}（未写明下级）" if cell.excepted else cell.area
    return f"{area} × {cell.matter} × {types}"
