"""Work that is done when somebody wakes it, and looked for every now and then.

Whoever makes work wakes the task of its own process; what another process of the node left is found
at the next look. A typed error ends one round, not the task: the work is still there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from gateway.kernel.errors import LubiaoError


class Waking:
    """Runs rounds of work, one at a time."""

    def __init__(self, *, look: timedelta) -> None:
        """Look for work at least once in `look`."""
        self._look = look
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Let a round begin soon; several calls are one round."""
        self._woken.set()

    async def run(
        self, work: Callable[[], Awaitable[object]], *, failed: Callable[[LubiaoError], None]
    ) -> None:
        """Do `work` again and again until cancelled; `failed` is told why a round ended early."""
        while True:
            try:
                await work()
            except LubiaoError as error:
                failed(error)
            try:
                async with asyncio.timeout(self._look.total_seconds()):
                    await self._woken.wait()
            except TimeoutError:
                continue
            finally:
                self._woken.clear()
