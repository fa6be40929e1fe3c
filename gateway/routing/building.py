"""A new set of packs beside the one in force, without a stall of the event loop.

The text of a pack is parsed in a worker process, which hands it over in small pieces (`pack_up`);
what the loop does with them (`build`: unpickle, compile) is cut into slices of about a millisecond,
between which everybody else runs. Packs that the set before had in the same version are taken over
with their compiled form. The switch itself is one assignment (`InForce`).

Two things would still stall the loop for tens of milliseconds on a set of 100,000 rules, whose
million objects live as long as the set. The garbage collector would walk over all of them: it is
off while a set is built, and then told to leave them alone (`gc.freeze`; what the rules consist of
has no cycles, so it goes by its reference counts). And dropping the old set would free it all at
once: its parts are held on to and given up slice by slice.
"""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gateway.kernel.values import dataclass, replace
from gateway.routing.compiled import Compiled
from gateway.routing.model import Pack, Rule
from gateway.routing.packs import PackSet

RULES_PER_PIECE = 40  # unpickled in about a millisecond
PARTS_PER_SLICE = 400  # freed in well under a millisecond


@dataclass(frozen=True, slots=True)
class PackedPack:
    """A pack on its way between two processes of this program: all but its rules, and those."""

    head: Pack
    pieces: tuple[bytes, ...]


def pack_up(pack: Pack) -> PackedPack:
    """Return a pack in pieces; called in the process that parsed it."""
    rules = pack.rules
    pieces = tuple(
        pickle.dumps(rules[start : start + RULES_PER_PIECE], pickle.HIGHEST_PROTOCOL)
        for start in range(0, len(rules), RULES_PER_PIECE)
    )
    return PackedPack(replace(pack, rules=()), pieces)


async def unpack(packed: PackedPack) -> Pack:
    """Return the pack of its pieces; only for those of a process of our own."""
    rules: list[Rule] = []
    for piece in packed.pieces:
        rules += pickle.loads(piece)  # noqa: S301 (our own worker made it)
        await asyncio.sleep(0)
    return replace(packed.head, rules=tuple(rules))


async def build(
    packs: Iterable[Pack | PackedPack], *, generation: int = 0, before: PackSet | None = None
) -> PackSet:
    """Return the set of some packs; what `before` has in the same version is taken over."""
    known = before.forms if before is not None else {}
    forms: dict[str, Compiled] = {}
    with _uncollected():
        for given in packs:
            head = given.head if isinstance(given, PackedPack) else given
            form = known.get(head.pack)
            if form is None or form.pack.version != head.version:
                form = Compiled(await unpack(given) if isinstance(given, PackedPack) else given)
                for _ in form.steps():
                    await asyncio.sleep(0)
            forms[head.pack] = form
        whole = PackSet((form.pack for form in forms.values()), generation=generation, forms=forms)
        gc.freeze()
    return whole


class InForce:
    """The set in force of a process. Whoever asks `get` sees one set or the next, never a mixture.

    Nobody should hold on to a set for longer than a decision takes.
    """

    __slots__ = ("_packs",)

    def __init__(self, packs: PackSet) -> None:
        """Begin with a set; it, and all that a process has loaded by now, is there to stay."""
        self._packs = packs
        gc.freeze()

    def get(self) -> PackSet:
        """Return the set in force now."""
        return self._packs

    async def switch_to(self, packs: PackSet) -> None:
        """Put a set in force at once; then let go of the one before, slice by slice."""
        before = [self._packs]
        self._packs = packs
        await let_go(before, kept=packs)


async def let_go(last: list[PackSet], *, kept: PackSet) -> None:
    """Free sets slice by slice, but for what `kept` has as well.

    They are taken out of the list: whoever still has one in a variable of his own frees it, all at
    once, when that goes. A decision that is being made with one is not disturbed.
    """
    while last:
        before, remains = last.pop(), list[object]()
        if before is kept:
            continue
        for parts in _parts_of(before, kept=kept):
            remains += parts
            await asyncio.sleep(0)
        del before, parts
        while remains:
            del remains[-PARTS_PER_SLICE:]
            await asyncio.sleep(0)


def _parts_of(packs: PackSet, *, kept: PackSet) -> Iterator[list[object]]:
    """Yield what a set consists of, in portions, but for what another one has as well.

    Who refers to others comes after them, and so goes first.
    """
    for name, form in packs.forms.items():
        if kept.forms.get(name) is not form:
            yield [*form.pack.rules]
            for by_matter in form.rules.cells.values():
                yield [by_matter, *(entry for cell in by_matter.values() for entry in cell)]
    yield from packs.remembered()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector off: it would walk over a growing set again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
