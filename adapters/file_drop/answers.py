"""From `answers/` to the node: what the platform did, or its citizen, row by row.

Rows are taken in order, each with a request id computed from its content, so a file that is read
again after a crash changes nothing. A row that the node refuses is rejected alone; a node that
stays silent leaves the file where it is.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from adapters.file_drop.acts import request_of
from adapters.file_drop.formats import Row
from adapters.file_drop.intake import (
    Rejection,
    Rejects,
    Source,
    Step,
    no_step,
    read_source,
    remove_source,
    rows_of,
)
from adapters.file_drop.rows import Answer, answer_of_row
from adapters.file_drop.settings import Settings
from adapters.kit.client import Client, request_id_of
from adapters.kit.mapping import Mapping
from adapters.kit.status import is_transient
from gateway.kernel.errors import FieldInvalid, LubiaoError

log = structlog.get_logger()


class Answers:
    """Passes on what the platform did."""

    def __init__(
        self, settings: Settings, mapping: Mapping, client: Client, *, step: Step = no_step
    ) -> None:
        """Take settings, mapping and an open client of the platform."""
        self._settings = settings
        self._mapping = mapping
        self._client = client
        self._rejects = Rejects(settings, mapping)
        self._step = step

    async def take(self, path: Path) -> None:
        """Deal with one complete file.

        Raises:
            PeerUnreachable: the node stays silent; the file stays.
        """
        source = read_source(path)
        if source is None:
            return
        self._step("answers.read")
        try:
            rows = rows_of(source)
        except FieldInvalid as error:
            self._rejects.take_file(source, error)
            return
        rejections: list[Rejection] = []
        for row in rows:
            refusal = await self._pass_on(source, row)
            if refusal is not None:
                log.warning("answer.rejected", row=row.number, reason=refusal.reason)
                rejections.append(Rejection(row, refusal))
            self._step("answers.passed")
        self._rejects.write_rows(source, rejections)
        self._step("answers.rejected")
        remove_source(source)

    async def _pass_on(self, source: Source, row: Row) -> LubiaoError | None:
        """Send one answer; return why it is rejected, or None."""
        try:
            answer = answer_of_row(self._mapping, row, name=source.path.name)
            await self._send(answer)
        except LubiaoError as error:
            if is_transient(error):
                raise
            return error
        return None

    async def _send(self, answer: Answer) -> None:
        request_id = request_id_of(
            answer.action, self._settings.platform, answer.number, answer.digest
        )
        method, request = request_of(answer, request_id=request_id)
        await self._client.call(getattr(self._client.tickets, method), request)
