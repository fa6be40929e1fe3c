"""What is said in disputes: a position each, once.

The dispatchers of an authority speak for it; for a unit the platform speaks that serves it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import grpc
import structlog

from adapters.kit.client import Client, request_id_of
from adapters.kit.status import is_transient
from adapters.simulated import sitting
from adapters.simulated.panel import open_cases
from gateway.kernel.errors import (
    FieldInvalid,
    LubiaoError,
    ResourceNotFound,
    TransitionNotAllowed,
)
from hotline.arbitration.v1 import arbitration_service_pb2, arbitration_service_pb2_grpc, case_pb2

LOOK_SECONDS = 1.0
UNITS = "units/"  # a unit without a platform of its own is spoken for; an authority speaks itself
_OVERTAKEN = (TransitionNotAllowed, ResourceNotFound, FieldInvalid)
log = structlog.get_logger()


class Speakers:
    """Those who speak for an authority, or for its units, before a panel."""

    def __init__(
        self,
        client: Client,
        channel: grpc.aio.Channel,
        *,
        authority: str,
        scripts: Sequence[sitting.Script],
        beside: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Speak for `authority` as `scripts` say; `beside` is what else is done at each look."""
        self._client = client
        self._authority = authority
        self._scripts = scripts
        self._beside = beside
        self._cases = arbitration_service_pb2_grpc.ArbitrationServiceStub(channel)

    async def run(self, stopping: asyncio.Event) -> None:
        """Speak until `stopping` is set."""
        while not stopping.is_set():
            try:
                await self.speak()
                if self._beside is not None:
                    await self._beside()
            except LubiaoError as error:
                if not is_transient(error):
                    raise
                log.info("speaker.waiting", reason=error.reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()

    async def speak(self) -> None:
        """State every position that is due."""
        if not self._scripts:
            return
        for case in await open_cases(self._client, self._cases):
            due = sitting.positions_due(case, self._scripts, authority=self._authority)
            for position in due:
                try:
                    await self._state(case, position)
                except _OVERTAKEN as error:
                    log.info("speaker.superseded", case=case.name, reason=error.reason)

    async def _state(self, case: case_pb2.Case, position: sitting.Position) -> None:
        request = arbitration_service_pb2.CreateEntryRequest(
            name=case.name,
            kind=case_pb2.CaseEntry.KIND_POSITION,
            proposed_owner=position.owner,
            legal_basis=position.basis,
            words=position.words,
            party=position.party if position.party.startswith(UNITS) else "",
            request_id=request_id_of("position", case.name, position.party),
        )
        await self._client.call(self._cases.CreateEntry, request)
