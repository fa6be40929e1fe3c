"""Simulated members of an authority's panel, with a staff certificate and nothing but RPCs.

They look at the cases of their scope every moment and do what `sitting.next_act` says. Request ids
are computed from what is done, so a new process repeats nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

import grpc
import structlog

from adapters.kit.client import Client, request_id_of
from adapters.kit.status import is_transient
from adapters.simulated import sitting
from gateway.kernel.errors import LubiaoError
from hotline.arbitration.v1 import arbitration_service_pb2, arbitration_service_pb2_grpc, case_pb2

TICK_SECONDS = 0.5
PAGE_SIZE = 100
log = structlog.get_logger()


class SimulatedPanel:
    """The panel of one arbiter."""

    def __init__(
        self,
        client: Client,
        channel: grpc.aio.Channel,
        *,
        authority: str = sitting.NATION,
        scripts: Sequence[sitting.Script] = (),
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Rule for `authority` through an open channel, on some matters as `scripts` say."""
        self._client = client
        self._authority = authority
        self._scripts = scripts
        self._now = now
        self._since: dict[str, float] = {}
        self._cases = arbitration_service_pb2_grpc.ArbitrationServiceStub(channel)

    async def run(self, stopping: asyncio.Event, *, delay_seconds: float) -> None:
        """Work on what is filed until `stopping` is set."""
        while not stopping.is_set():
            try:
                await self.work()
            except LubiaoError as error:
                if not is_transient(error):
                    raise
                log.info("panel.waiting", reason=error.reason)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(delay_seconds, TICK_SECONDS)):
                    await stopping.wait()

    async def work(self) -> None:
        """Do the next thing about every case of the panel's own scope that waits."""
        for case in await open_cases(self._client, self._cases):
            if case.scope != self._authority:
                continue
            waited = self._now() - self._since.setdefault(case.name, self._now())
            act = sitting.next_act(case, self._scripts, waited=waited)
            if act is None:
                continue
            try:
                await self._do(case, act)
            except LubiaoError as error:  # the others of the panel's cases go on
                if is_transient(error):
                    raise
                log.warning("panel.refused", case=case.name, reason=error.reason, got=str(error))

    async def _do(self, case: case_pb2.Case, act: sitting.Act) -> None:
        pb = arbitration_service_pb2
        step = f"{type(act).__name__}-{len(case.rulings)}"
        request_id = request_id_of("panel", self._authority, case.name, step)
        match act:
            case sitting.TakeUp():
                up = pb.TakeUpCaseRequest(name=case.name, request_id=request_id)
                await self._client.call(self._cases.TakeUpCase, up)
            case sitting.Convene():
                conference = pb.ConveneCaseRequest(name=case.name, request_id=request_id)
                await self._client.call(self._cases.ConveneCase, conference)
            case sitting.Record(attended, words):
                minutes = pb.CreateEntryRequest(
                    name=case.name,
                    kind=case_pb2.CaseEntry.KIND_MINUTES,
                    attendees=attended,
                    words=words,
                    request_id=request_id,
                )
                await self._client.call(self._cases.CreateEntry, minutes)
            case sitting.Rule():
                ruling = ruling_request(case, act)
                ruling.request_id = request_id
                await self._client.call(self._cases.IssueRuling, ruling)


def ruling_request(
    case: case_pb2.Case, act: sitting.Rule
) -> arbitration_service_pb2.IssueRulingRequest:
    """Return the request of a ruling, without its id."""
    return arbitration_service_pb2.IssueRulingRequest(
        name=case.name,
        kind=act.kind,
        target=act.target,
        legal_basis=act.basis,
        reasons=act.reasons,
        sets_precedent=act.sets_precedent,
        precedent_facts=act.facts,
        form=case_pb2.CaseRuling.Form.Value(f"FORM_{act.form or 'UNSPECIFIED'}"),
        parts=[arbitration_service_pb2.RulingPart(party=party) for party in act.parts],
    )


async def open_cases(
    client: Client, stub: arbitration_service_pb2_grpc.ArbitrationServiceAsyncStub
) -> list[case_pb2.Case]:
    """Return the cases that the caller may read and that wait for a ruling, the newest first.

    A page without any ends the search: older ones are settled.
    """
    found: list[case_pb2.Case] = []
    token = ""
    while True:
        request = arbitration_service_pb2.ListCasesRequest(page_size=PAGE_SIZE, page_token=token)
        page = await client.call(stub.ListCases, request)
        waiting = [case for case in page.cases if case.state in sitting.OPEN]
        found += waiting
        token = page.next_page_token
        if not waiting or not token:
            return found
