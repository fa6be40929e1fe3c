"""A simulated member of an arbiter's panel, with a staff certificate and nothing but RPCs.

It sees what a panel sees, codes and no text: who held the ticket, whose place it is. It rules for
the authority of the place; when that holds the ticket already, it upholds.
"""

from __future__ import annotations

import asyncio
import contextlib

import grpc
import structlog

from adapters.kit.client import Client, request_id_of
from adapters.kit.status import is_transient
from gateway.kernel.errors import LubiaoError, TransitionNotAllowed
from hotline.arbitration.v1 import arbitration_service_pb2, arbitration_service_pb2_grpc, case_pb2
from hotline.custody.v1 import custody_pb2

NATION = "100000"
OPEN_CASES = 'state = "FILED"'
TICK_SECONDS = 0.5
log = structlog.get_logger()


class SimulatedPanel:
    """The panel of one arbiter."""

    def __init__(self, client: Client, channel: grpc.aio.Channel) -> None:
        """Rule through an open channel."""
        self._client = client
        self._cases = arbitration_service_pb2_grpc.ArbitrationServiceStub(channel)

    async def run(self, stopping: asyncio.Event, *, delay_seconds: float) -> None:
        """Rule on what is filed until `stopping` is set."""
        while not stopping.is_set():
            try:
                await self.rule_all()
            except LubiaoError as error:
                if not is_transient(error):
                    raise
                log.info("panel.waiting", reason=error.reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(delay_seconds, TICK_SECONDS)):
                    await stopping.wait()

    async def rule_all(self) -> None:
        """Rule on every case that waits."""
        request = arbitration_service_pb2.ListCasesRequest(page_size=100, filter=OPEN_CASES)
        answer = await self._client.call(self._cases.ListCases, request)
        for case in answer.cases:
            if case.state == case_pb2.Case.STATE_FILED:
                await self._rule(case)

    async def _rule(self, case: case_pb2.Case) -> None:
        target = target_of(case)
        is_upheld = target == case.responsible
        ruling = custody_pb2.Ruling
        request = arbitration_service_pb2.IssueRulingRequest(
            name=case.name,
            kind=ruling.KIND_UPHOLD if is_upheld else ruling.KIND_REASSIGN,
            target=target,
            legal_basis="属地管理原则；首接负责制（待核实）",
            reasons="事发地在其辖区，由其承办，其他机构配合。（演示数据）",
            request_id=request_id_of("panel", case.name, str(len(case.rulings))),
        )
        try:
            await self._client.call(self._cases.IssueRuling, request)
        except TransitionNotAllowed as error:
            log.info("panel.superseded", case=case.name, reason=error.reason)


def target_of(case: case_pb2.Case) -> str:
    """Return whose ticket it is: the authority of the place, of those that take part in it."""
    region = case.facts.region
    whole = region[:2] + "0000" if case.scope == NATION else region[:4] + "00"
    parties = {case.responsible, *case.path, *case.proposed_targets, *case.filers}
    return whole if region and whole in parties else case.responsible
