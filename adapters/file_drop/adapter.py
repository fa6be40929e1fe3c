"""One running file-drop adapter: two folders in, the node's stream out, until told to stop.

Intake, answers and delivery run side by side; each meets a silent node with its own back-off, and a
defect in one stops the whole adapter, which its supervisor starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from adapters.file_drop.answers import Answers
from adapters.file_drop.delivery import Delivery
from adapters.file_drop.intake import Folder, Intake, Step, no_step
from adapters.file_drop.settings import Settings
from adapters.kit.channel import open_channel
from adapters.kit.client import Client
from adapters.kit.journal import Journal
from adapters.kit.mapping import Mapping, load_mapping
from adapters.kit.status import is_transient
from adapters.kit.submitter import Submitter
from adapters.kit.watcher import Watcher
from gateway.kernel.errors import LubiaoError

JOURNAL_FILE = "journal.jsonl"
TOKEN_FILE = "resume-token"  # noqa: S105 (a position in a stream, no secret)
log = structlog.get_logger()


class Adapter:
    """The parts of one adapter, wired; `run` is what a process does."""

    def __init__(
        self, settings: Settings, mapping: Mapping, client: Client, *, step: Step = no_step
    ) -> None:
        """Wire the parts; the folders must exist (`Settings.make_folders`)."""
        self._settings = settings
        self._client = client
        self.journal = Journal(settings.state / JOURNAL_FILE)
        submitter = Submitter(client, self.journal, platform=settings.platform)
        self._intake = Intake(settings, mapping, submitter, step=step)
        self._answers = Answers(settings, mapping, client, step=step)
        delivery = Delivery(settings, mapping, client, step=step)
        self._watcher = Watcher(client, settings.state / TOKEN_FILE, delivery.handle)
        self._inbox_folder = self._folder(settings.inbox)
        self._answers_folder = self._folder(settings.answers)

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set.

        Raises:
            ExceptionGroup: of the typed errors that ended it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watcher.run(stopping))
            group.create_task(self._scan(self._inbox_folder, self._intake.take, stopping))
            group.create_task(self._scan(self._answers_folder, self._answers.take, stopping))

    async def take_once(self) -> None:
        """Deal with every complete file once, in order."""
        for path in self._inbox_folder.complete():
            await self._intake.take(path)
        for path in self._answers_folder.complete():
            await self._answers.take(path)

    async def _scan(
        self,
        folder: Folder,
        take: Callable[[Path], Awaitable[None]],
        stopping: asyncio.Event,
    ) -> None:
        failures = 0
        while not stopping.is_set():
            pause = self._settings.scan_interval
            try:
                for path in folder.complete():
                    await take(path)
                    failures = 0
            except LubiaoError as error:
                if not is_transient(error):
                    raise
                pause = self._client.backoff.delay(failures, error)
                failures += 1
                log.info("folder.waiting", reason=error.reason, failures=failures)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await stopping.wait()

    def _folder(self, path: Path) -> Folder:
        return Folder(
            path, settle_seconds=self._settings.settle.total_seconds(), now=time.monotonic
        )


async def run_adapter(settings: Settings, stopping: asyncio.Event) -> None:
    """Run the adapter of a folder until `stopping` is set.

    Raises:
        FieldInvalid: the folder, the mapping or the certificates are not in order.
    """
    settings.make_folders()
    mapping = load_mapping(settings.mapping)
    channel = open_channel(settings.endpoint, settings.certificates, host=settings.host)
    async with channel:
        client = Client(channel, peer=settings.endpoint)
        await Adapter(settings, mapping, client).run(stopping)
