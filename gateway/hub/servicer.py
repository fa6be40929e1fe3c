"""HubService: the edge where the hub's analysts ask. Boring on purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from gateway.hub.model import MapLine
from gateway.hub.service import HubMap
from gateway.reference.data import ReferenceData
from hotline.hub.v1alpha1 import hub_service_pb2 as pb
from hotline.hub.v1alpha1 import hub_service_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class HubServicer(pb_grpc.HubServiceServicer):
    """The national map for the hub's staff."""

    def __init__(self, *, national_map: HubMap, reference: Callable[[], ReferenceData]) -> None:
        """Make the servicer; names come from `reference`."""
        self._map = national_map
        self._reference = reference

    async def QueryMap(self, request: pb.QueryMapRequest, context: Context) -> pb.QueryMapResponse:
        """Return the map over a range of days."""
        del context  # the access matrix has judged the caller; the answer is the same for all
        found = await self._map.query(
            first=request.first_day, last=request.last_day, province=request.province
        )
        regions = self._reference().regions
        return pb.QueryMapResponse(
            first_day=found.first_day,
            last_day=found.last_day,
            cells=[self._line_to_pb(line) for line in found.lines],
            provinces=[
                pb.ProvinceReports(
                    province=code,
                    province_name=regions.name(code) if code in regions else "",
                    days=days,
                )
                for code, days in found.days
            ],
        )

    def _line_to_pb(self, line: MapLine) -> pb.MapCell:
        matter = self._reference().matters.find(line.matter)
        return pb.MapCell(
            province=line.province,
            matter=line.matter,
            matter_name=matter.name if matter else "",
            count=line.count,
            shown_days=line.shown_days,
            suppressed_days=line.suppressed_days,
            error_bar=line.error_bar,
            suppressed=line.shown_days == 0,
        )
