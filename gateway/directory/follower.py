"""Keeping the roster new: from the directory over mTLS, and from the file that a person replaces.

A node works without the directory for as long as it likes; a stale roster only raises an alarm.
What arrives is believed because of its signature, not because of who sent it: any node may pass
a roster on. A roster that does not verify is logged and the watch begins again later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import grpc
import structlog

from gateway.directory.holder import RosterHolder
from gateway.kernel.errors import LubiaoError
from gateway.kernel.ids import Ids, SystemIds
from hotline.federation.v1 import federation_service_pb2 as federation_pb
from hotline.federation.v1 import federation_service_pb2_grpc as federation_grpc

BACK_OFF_FIRST = timedelta(seconds=1)
BACK_OFF_MAX = timedelta(seconds=60)  # a directory that comes back is found within a minute
FILE_INTERVAL = timedelta(seconds=1)
ALARM_INTERVAL = timedelta(minutes=10)
log = structlog.get_logger()
Sleep = Callable[[float], Awaitable[None]]
_SYSTEM_IDS = SystemIds()


class RosterFollower:
    """Watches the directory and installs every newer roster."""

    def __init__(
        self,
        *,
        holder: RosterHolder,
        open_channel: Callable[[], grpc.aio.Channel],
        sleep: Sleep = asyncio.sleep,
        ids: Ids = _SYSTEM_IDS,
    ) -> None:
        """Follow the directory that `open_channel` reaches."""
        self._ids = ids
        self._holder = holder
        self._open_channel = open_channel
        self._sleep = sleep
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._watch()
            except grpc.aio.AioRpcError as error:
                log.warning("roster.directory_unreachable", code=error.code().name)
            except LubiaoError as error:
                log.warning("roster.refused", reason=error.reason, metadata=error.metadata)
            else:
                continue  # the stream reached its bound; go on where it ended
            self._failures += 1
            await self._sleep(self._pause().total_seconds())

    async def _watch(self) -> None:
        async with self._open_channel() as channel:
            stub = federation_grpc.FederationServiceStub(channel)
            request = federation_pb.WatchRosterRequest(known_version=self._holder.version)
            async for response in stub.WatchRoster(request):
                signed = response.signed_roster.SerializeToString(deterministic=True)
                await self._holder.install(signed)
                self._failures = 0

    def _pause(self) -> timedelta:
        whole = min(BACK_OFF_FIRST * (1 << min(self._failures - 1, 10)), BACK_OFF_MAX)
        # All nodes of the country lose the directory at once and must not come back at once.
        return whole * (1 + self._ids.entropy(1)[0] / 255) / 2


class RosterKeeper:
    """Reads the file again when a person replaced it, and raises the alarm when it is old."""

    def __init__(self, *, holder: RosterHolder, sleep: Sleep = asyncio.sleep) -> None:
        """Keep the roster of `holder`."""
        self._holder = holder
        self._sleep = sleep

    async def run(self) -> None:
        """Look until cancelled."""
        every = int(ALARM_INTERVAL / FILE_INTERVAL)
        round_number = 0
        while True:
            await self.look(is_alarm_due=round_number % every == 0)
            round_number += 1
            await self._sleep(FILE_INTERVAL.total_seconds())

    async def look(self, *, is_alarm_due: bool) -> None:
        """Look once."""
        try:
            await self._holder.load_if_replaced()
        except LubiaoError as error:
            log.warning("roster.refused", reason=error.reason, metadata=error.metadata)
        except OSError as error:
            log.warning("roster.unreadable", error=error)
        alarm = self._holder.alarm()
        if alarm and is_alarm_due:
            log.warning("roster.alarm", alarm=alarm, version=self._holder.version)
