"""ArbitrationService's views: the panel's, figures, the watch, the dossier. Boring on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import grpc

from gateway.arbitration.dossiers.export import DossierExporter
from gateway.arbitration.sight.changes import CaseChanges
from gateway.arbitration.sight.codec import figures_to_pb, sight_to_pb, watched_to_pb
from gateway.arbitration.sight.figures_reading import FigureReader
from gateway.arbitration.sight.service import Sight
from gateway.kernel.errors import FieldInvalid
from gateway.kernel.time import Clock
from gateway.kernel.validation import validate
from gateway.trust.principal import Principal
from hotline.arbitration.v1 import arbitration_service_pb2_grpc as pb_grpc
from hotline.arbitration.v1 import insight_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Views:
    """What answers the views of one node."""

    sight: Sight
    figures: FigureReader
    changes: CaseChanges
    dossiers: DossierExporter


class SightServicer(pb_grpc.ArbitrationServiceServicer):
    """The views of cases; the rest of the service stands on it."""

    def __init__(
        self, *, views: Views, principal_of: Callable[[Context], Principal], clock: Clock
    ) -> None:
        """`principal_of` gives the authenticated caller; `clock` is business time."""
        self._views = views
        self._whose = principal_of
        self._time = clock

    async def GetCaseSight(
        self, request: pb.GetCaseSightRequest, context: Context
    ) -> pb.GetCaseSightResponse:
        """Return what helps the panel with a case."""
        validate(request)
        seen = await self._views.sight.look(
            self._whose(context), request.name.removeprefix("cases/"), purpose=request.purpose
        )
        return sight_to_pb(seen, now=self._time.now())

    async def GetDisputeFigures(
        self, request: pb.GetDisputeFiguresRequest, context: Context
    ) -> pb.GetDisputeFiguresResponse:
        """Return what disputes are for the caller's authority."""
        validate(request)
        figures = await self._views.figures.read(
            self._whose(context),
            first=_day_of(request.first_day, field="first_day"),
            last=_day_of(request.last_day, field="last_day"),
        )
        return figures_to_pb(figures)

    async def WatchCases(
        self, request: pb.WatchCasesRequest, context: Context
    ) -> AsyncIterator[pb.WatchCasesResponse]:
        """Tell every change."""
        validate(request)
        principal = self._whose(context)
        async for item in self._views.changes.watch(principal, resume_token=request.resume_token):
            yield watched_to_pb(item, now=self._time.now())

    async def ExportCase(
        self, request: pb.ExportCaseRequest, context: Context
    ) -> AsyncIterator[pb.ExportCaseResponse]:
        """Return a dossier in chunks."""
        validate(request)
        parts = self._views.dossiers.export(
            self._whose(context),
            request.name.removeprefix("cases/"),
            with_words=request.with_words,
            purpose=request.purpose,
        )
        async for chunk in parts:
            yield pb.ExportCaseResponse(chunk=chunk)


def _day_of(text: str, *, field: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise FieldInvalid(field=field, got="no day", expected="a day, 2026-03-01") from error
