"""What deciding needs of publishing, and what publishing needs of others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from gateway.checking.model import Finding
from gateway.database.uow import UnitOfWork
from gateway.kernel.time import Instant
from gateway.routing.building import build
from gateway.routing.model import Decision, Pack
from gateway.routing.packs import PackSet


class Rules(Protocol):
    """The rules in force, as whoever decides asks for them: `ready`, `at`, `hold`."""

    async def ready(self) -> None:
        """Return when this process knows which rules are in force.

        Raises:
            RulesUnknown: it does not come to know it soon.
        """
        ...

    def at(self, now: Instant) -> PackSet:
        """Return the packs in force at an instant of the present.

        Raises:
            RulesUnknown: this process does not know them now.
        """
        ...

    def hold(self, uow: UnitOfWork, decision: Decision | None = None) -> None:
        """Let `uow` commit only if what `at` gave is in force then."""
        ...


class Unchanging:
    """Rules that nobody publishes, for tools and tests: `Rules`."""

    def __init__(self, packs: Callable[[], PackSet]) -> None:
        """Give what `packs` gives."""
        self._packs = packs

    async def ready(self) -> None:
        """Return: they are known."""

    def at(self, now: Instant) -> PackSet:
        """Return the packs."""
        del now
        return self._packs()

    def hold(self, uow: UnitOfWork, decision: Decision | None = None) -> None:
        """Do nothing: they do not change."""


Build = Callable[[Iterable[Pack], int, PackSet | None], Awaitable[PackSet]]
"""Compiles packs for a generation; what the set before has in common may be used again."""

Check = Callable[[bytes, str], Awaitable[tuple[Finding, ...]]]
"""Returns everything that there is to say about the source of a pack of a name."""


async def build_in_slices(
    packs: Iterable[Pack], generation: int, before: PackSet | None
) -> PackSet:
    """Compile beside whatever else the loop does."""
    return await build(packs, generation=generation, before=before)
