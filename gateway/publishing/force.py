"""The rules in force, in one process: which packs decide now, and that they still do at a commit.

**Theory of operation.** What is in force is a timeline in the database (`model.timeline`): pack by
pack, a version from a business instant on. Every change of it raises the *generation* and notifies
all processes. A process compiles the packs of the present and of the next change in advance, so
that an instant that is reached, or a rollback to a version that it still has, costs nothing.

A decision is made with the packs in force at its own instant, and its unit of work commits only if
the generation is still the one that the process decided with: the last statement before the commit
reads it and holds it (`hold_rules`). Whoever changes it takes it alone (`take_rules`), and fixes
the instant of the change *after* that. So of a decision and a change one comes first, for both of
them, and no ticket is decided by a version that was not in force at its instant, nor by a mixture.
What comes too late raises `RulesChanged` and is done again.

This would be safe without any listener. The listener makes it quick: a process that lost it does
not know how old its rules are, so it stops deciding (`RulesUnknown`, readiness) until it hears
again and has caught up.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import structlog

from gateway.database.uow import Database, UnitOfWork
from gateway.kernel.errors import LubiaoError, RulesChanged, RulesUnknown
from gateway.kernel.time import Clock, Instant
from gateway.publishing.library import Library
from gateway.publishing.model import in_force, timeline
from gateway.publishing.ports import Build, build_in_slices
from gateway.publishing.store import (
    ACTIVATIONS_SINCE,
    FIRST_GENERATION,
    GENERATION,
    HOLD_RULES,
    activation_of,
)
from gateway.routing.building import let_go
from gateway.routing.model import Decision
from gateway.routing.packs import PackSet

READY_WAIT = timedelta(seconds=3)  # to catch up takes milliseconds; a caller has ten seconds
PAST_KEPT = timedelta(seconds=60)  # a step decides with the instant at which it began
LOOK = timedelta(milliseconds=20)  # how soon a waiting decision looks again
AGAIN = timedelta(seconds=1)  # how soon a failed catching up is tried again
TURN = timedelta(seconds=1)  # how often somebody looks for the next change to compile
SETS_MAX = 4  # compiled and kept: past, present, next, and the one before a rollback
_log = structlog.get_logger()


@dataclass(slots=True)
class _Segment:
    """What is in force from an instant on; `packs` is None until it is compiled."""

    since: Instant
    versions: Mapping[str, str]
    packs: PackSet | None = None


class RulesInForce:
    """The rules in force: `ports.Rules`; also callable, for the packs of the present."""

    def __init__(
        self,
        *,
        database: Database,
        library: Library,
        clock: Clock,
        build: Build = build_in_slices,
        listens: bool = False,
    ) -> None:
        """Know nothing yet; `catch_up` or `run` loads.

        Args:
            database: read by this alone, best with connections of its own.
            library: verifies and parses.
            clock: business time.
            build: compiles packs.
            listens: whether a listener says `hearing` and `deaf`; nothing is decided before.
        """
        self.database = database
        self._library = library
        self._clock = clock
        self._build = build
        self._is_hearing = not listens
        self._generation = 0
        self._newest = FIRST_GENERATION  # that this process heard of
        self._segments: tuple[_Segment, ...] = ()
        self._sets: OrderedDict[tuple[tuple[str, str], ...], PackSet] = OrderedDict()
        self._catching: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._trouble = "nothing was loaded yet"

    # --- deciding -------------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """The generation that this process decides with."""
        return self._generation

    @property
    def trouble(self) -> str:
        """Why this process decides nothing now; empty when it does."""
        if not self._is_hearing:
            return "no listener: changes would not be heard"
        if self._generation < self._newest:
            return self._trouble or f"generation {self._newest} is not loaded yet"
        return ""

    def __call__(self) -> PackSet:
        """Return the packs in force now."""
        return self.at(self._clock.now())

    def at(self, now: Instant) -> PackSet:
        """Return the packs in force at an instant of the present.

        Raises:
            RulesUnknown: this process does not know them now.
        """
        if trouble := self.trouble:
            raise RulesUnknown(got=trouble)
        for segment in reversed(self._segments):
            if segment.since <= now:
                if segment.packs is None:
                    self._woken.set()
                    raise RulesUnknown(got="the packs of this instant are not compiled yet")
                return segment.packs
        raise RulesUnknown(got="an instant of long ago")

    async def ready(self) -> None:
        """Return when this process knows which rules are in force now.

        Raises:
            RulesUnknown: it does not come to know it soon.
        """
        if self._is_ready():
            return
        with suppress(TimeoutError, LubiaoError):
            async with asyncio.timeout(READY_WAIT.total_seconds()):
                while not self._is_ready():
                    await asyncio.shield(self._catch())
                    if not self._is_ready():  # without a listener, or too new again
                        await asyncio.sleep(LOOK.total_seconds())
        if not self._is_ready():
            raise RulesUnknown(got=self.trouble or "they are not compiled yet")

    def hold(self, uow: UnitOfWork, decision: Decision | None = None) -> None:
        """Let `uow` commit only if what `at` gave is in force then."""
        del decision  # one of this unit or another: all rest on the same generation
        used = self._generation

        async def check() -> None:
            [found] = await uow.select(HOLD_RULES)
            if found.generation != used:
                self.heard(found.generation)
                raise RulesChanged(got=used, expected=found.generation)

        uow.check_at_commit("rules", check)

    # --- listening ------------------------------------------------------------------------------

    def heard(self, generation: int) -> None:
        """Learn that there is a generation; an older one is no news."""
        self._newest = max(self._newest, generation)
        if self._generation < self._newest:
            self._catch()

    def hearing(self, generation: int) -> None:
        """Learn that changes are heard from now on, and what the generation is now."""
        if not self._is_hearing:
            _log.info("rules.hearing", generation=generation)
        self._is_hearing = True
        self.heard(generation)

    def deaf(self) -> None:
        """Learn that changes are not heard any more: decide nothing."""
        if self._is_hearing:
            _log.warning("rules.deaf", generation=self._generation)
        self._is_hearing = False

    async def run(self) -> None:
        """Compile what comes next, until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN.total_seconds()):
                    await self._woken.wait()
            self._woken.clear()
            try:
                if self._generation < self._newest:
                    await self._catch()
                else:
                    await self._compile(self._segments)
            except LubiaoError as error:
                _log.error("rules.unknown", reason=error.reason)
                await asyncio.sleep(AGAIN.total_seconds())

    # --- catching up ----------------------------------------------------------------------------

    async def load(self) -> None:
        """Catch up, together with whoever does already.

        Raises:
            LubiaoError: as `catch_up`.
        """
        await asyncio.shield(self._catch())

    async def catch_up(self) -> None:
        """Load what is in force.

        Raises:
            LubiaoError: the database is away, or a version does not load; what was in force before
                is not used any more.
        """
        while True:
            try:
                generation, segments = await self._read()
                await self._compile(segments)
            except LubiaoError as error:
                self._trouble = f"{error.reason}: {error}"
                raise
            self._segments = segments
            self._generation = max(self._generation, generation)
            self._newest = max(self._newest, generation)
            self._trouble = ""
            if self._generation >= self._newest:
                _log.debug("rules.caught_up", generation=generation)
                return

    async def packs_at(self, instant: Instant) -> PackSet:
        """Return the packs that were, or will be, in force at any instant."""
        async with self.database.unit() as uow:
            lines = await uow.select(ACTIVATIONS_SINCE, since=instant)
        versions = in_force((activation_of(line) for line in lines), instant)
        return await self._compiled(versions)

    async def _read(self) -> tuple[int, tuple[_Segment, ...]]:
        """Return generation and timeline; the generation first, so that it is never too new."""
        since = self._clock.now() - PAST_KEPT
        async with self.database.unit() as uow:
            row = await uow.get(GENERATION, 1)
            lines = await uow.select(ACTIVATIONS_SINCE, since=since)
        found = timeline((activation_of(line) for line in lines), since=since)
        segments = tuple(_Segment(each.since, each.versions) for each in found)
        return (row.generation if row is not None else FIRST_GENERATION), segments

    async def _compile(self, segments: tuple[_Segment, ...]) -> None:
        """Compile the present and the next change; the past as far as it is at hand."""
        now = self._clock.now()
        present = max((i for i, each in enumerate(segments) if each.since <= now), default=0)
        for index, segment in enumerate(segments):
            if index in {present, present + 1} and segment.packs is None:
                segment.packs = await self._compiled(segment.versions)
            elif index < present and segment.packs is None:
                segment.packs = self._sets.get(_key(segment.versions))

    async def _compiled(self, versions: Mapping[str, str]) -> PackSet:
        key = _key(versions)
        known = self._sets.get(key)
        if known is None:
            packs = await self._library.load(self.database, versions)
            newest = next(reversed(self._sets.values()), None)
            known = self._sets[key] = await self._build(packs, self._newest, newest)
            while len(self._sets) > SETS_MAX:
                await let_go([self._sets.popitem(last=False)[1]], kept=known)
        self._sets.move_to_end(key)
        return known

    def _is_ready(self) -> bool:
        try:
            self()
        except RulesUnknown:
            return False
        return True

    def _catch(self) -> asyncio.Task[None]:
        """Return the one task that catches up; it is begun unless it runs."""
        if self._catching is None or self._catching.done():
            self._catching = asyncio.get_running_loop().create_task(
                self.catch_up(), name="rules catching up"
            )
            self._catching.add_done_callback(_taken)
        return self._catching


def _key(versions: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(versions.items()))


def _taken(task: asyncio.Task[None]) -> None:
    """Look at an error, so that nobody misses it; who waits for the task gets it too."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("rules.unknown", reason=getattr(error, "reason", type(error).__name__))
