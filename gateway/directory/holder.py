"""The roster in use: one verified value, replaced whole by a newer one, with whoever waits for it.

Every room reads `holder.current`, so a new roster counts from the next statement on. A roster that
does not verify, falls in version, or differs from the one in use under the same version changes
nothing. A stale roster goes on working; `alarm` says so until a fresh one arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import structlog

from gateway.directory.store import RosterFile
from gateway.kernel.errors import ChainForked, ResourceNotFound
from gateway.kernel.time import Clock
from gateway.telemetry.metrics import Metrics
from gateway.trust.keys import PublicKey
from gateway.trust.roster import Freshness, Roster
from gateway.trust.roster_file import verify_roster

log = structlog.get_logger()


class RosterHolder:
    """The newest verified roster of this node."""

    def __init__(
        self,
        *,
        file: RosterFile,
        roster_key: PublicKey,
        allow_demo: bool,
        clock: Clock,
        metrics: Metrics | None = None,
    ) -> None:
        """Begin without a roster; `load` reads the file.

        Args:
            file: where the signed roster is kept.
            roster_key: the public roster key that this node was given at `init`.
            allow_demo: whether this node belongs to a demonstration.
            clock: the machine's clock; validity is never scaled.
            metrics: where version and alarm are shown.
        """
        self._file = file
        self._roster_key = roster_key
        self._allow_demo = allow_demo
        self._clock = clock
        self._metrics = metrics
        self._roster: Roster | None = None
        self._signed = b""
        self._mark: tuple[int, int, int] | None = None
        self._changed = asyncio.Condition()

    @property
    def current(self) -> Roster:
        """The roster in use.

        Raises:
            ResourceNotFound: there is none yet.
        """
        if self._roster is None:
            raise ResourceNotFound(
                kind="roster",
                name=self._file.path,
                hint="copy the signed roster there, or wait for the directory",
            )
        return self._roster

    @property
    def signed(self) -> bytes:
        """The exact bytes of the signed roster in use; empty before the first."""
        return self._signed

    @property
    def version(self) -> int:
        """The version in use; 0 before the first."""
        return self._roster.version if self._roster is not None else 0

    def get(self) -> Roster:
        """Return the roster in use; the same as `current`, for whoever takes a function."""
        return self.current

    def knows_node(self, node: str) -> bool:
        """Tell whether the roster lists a node."""
        return self._roster is not None and self._roster.node(node) is not None

    async def load(self) -> bool:
        """Read the file and use its roster; return whether that changed anything.

        Raises:
            LubiaoError: the file holds no roster that this node may use.
        """
        self._mark = self._file.mark()
        signed = self._file.read()
        return signed is not None and await self._use(signed)

    async def load_if_replaced(self) -> bool:
        """Read the file again when it was replaced since; return whether that changed anything."""
        return self._file.mark() != self._mark and await self.load()

    async def install(self, signed: bytes) -> bool:
        """Verify, keep and use a roster that arrived; return whether it was newer.

        Raises:
            LubiaoError: it is no roster that this node may use; nothing was changed.
        """
        roster = self._verified(signed)
        if roster is None:
            return False
        self._file.replace(signed)  # on disk before anything rests on it
        self._mark = self._file.mark()
        await self._set(roster, signed)
        return True

    async def newer_than(self, version: int) -> bytes:
        """Return the signed roster in use as soon as its version is above `version`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.version > version)
            return self._signed

    async def changes(self, version: int) -> AsyncGenerator[bytes]:
        """Yield the signed roster now if it is above `version`, and every later one."""
        while True:
            signed = await self.newer_than(version)
            version = self.version
            yield signed

    def freshness(self) -> Freshness:
        """Return how the roster stands to the present, and show it in the metrics."""
        found = self.current.freshness(self._clock.now())
        if self._metrics is not None:
            self._metrics.roster(version=self.version, is_fresh=found is Freshness.FRESH)
        return found

    def alarm(self) -> str:
        """Return why people must look at the roster, or an empty text."""
        if self._roster is None:
            return "no roster yet"
        found = self.freshness()
        return "" if found is Freshness.FRESH else f"the roster is {found.value}"

    async def _use(self, signed: bytes) -> bool:
        roster = self._verified(signed)
        if roster is None:
            return False
        await self._set(roster, signed)
        return True

    def _verified(self, signed: bytes) -> Roster | None:
        """Return a roster newer than the one in use, None for the one in use."""
        roster = verify_roster(
            signed,
            self._roster_key,
            minimum_version=self.version,
            allow_demo=self._allow_demo,
        )
        if roster.version > self.version:
            return roster
        if roster != self._roster:
            raise ChainForked(signer="the directory", kind="roster", epoch=roster.version)
        return None

    async def _set(self, roster: Roster, signed: bytes) -> None:
        async with self._changed:
            self._roster, self._signed = roster, signed
            self._changed.notify_all()
        log.info(
            "roster.installed",
            version=roster.version,
            authorities=len(roster.authorities),
            nodes=len(roster.nodes),
            expires=roster.expires.isoformat(),
            freshness=self.freshness().value,
        )
