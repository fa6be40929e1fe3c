"""Checking a draft against everything that a node knows: `ports.Check`.

That is: the packs in force here, those of peers as their summaries say, who has joined, and a month
of past decisions of the owner, which say how much a gap weighs. A check computes; a small one runs
in a thread, one of a large text in the worker process, because a thread that computes would hold up
the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.checking.check import check_pack
from gateway.checking.model import Finding, Known
from gateway.checking.solver import ProcessSolver
from gateway.checking.texts import Check
from gateway.kernel.time import Clock
from gateway.publishing.force import RulesInForce
from gateway.publishing.model import owner_of
from gateway.publishing.summaries import Summaries
from gateway.publishing.workshop import SMALL_BYTES_MAX, CheckTask, Workshop
from gateway.reference.data import ReferenceData
from gateway.rehearsal.history import History
from gateway.rehearsal.weights import weigh
from gateway.routing.model import Conditions


class Checker:
    """Says what there is to say about the source of a pack."""

    def __init__(
        self,
        *,
        reference: Callable[[], ReferenceData],
        conditions: Conditions,
        clock: Clock,
        force: RulesInForce,
        summaries: Summaries,
        past: History,
        known: Callable[[], Known],
        workshop: Workshop | None,
    ) -> None:
        """Hold drafts against these; without a workshop everything runs in threads."""
        self._reference = reference
        self._conditions = conditions
        self._clock = clock
        self._force = force
        self._summaries = summaries
        self._past = past
        self._known = known
        self._workshop = workshop

    async def __call__(self, source: bytes, name: str) -> tuple[Finding, ...]:
        """Return the findings in the order of lines.

        A rule that is not in force yet could not decide anything: that it did not is no finding.
        """
        found = await self._found(source, name)
        known = {rule for pack in self._force().packs for rule, _ in pack.clause_lines()}
        return tuple(
            each for each in found if each.code is not Check.NEVER_HIT or each.rule in known
        )

    async def _found(self, source: bytes, name: str) -> tuple[Finding, ...]:
        await self._force.ready()
        now, known = self._clock.now(), self._known()
        packs = (*self._force().packs, *await self._summaries.packs())
        owner, history = owner_of(name), None
        if owner in known.hosted:
            history = await weigh(self._past, owner, now=now)
        if self._workshop is not None and len(source) > SMALL_BYTES_MAX:
            task = CheckTask(
                source=source,
                name=name,
                now=now,
                others=tuple((pack.pack, pack.source) for pack in packs),
                known=known,
                history=history,
            )
            return await self._workshop.check(task)
        with ProcessSolver() as solver:
            return await asyncio.to_thread(
                check_pack,
                source,
                name=name,
                reference=self._reference(),
                conditions=self._conditions,
                now=now,
                packs=packs,
                known=known,
                history=history,
                solver=solver,
            )
