"""Each request once: a repeat is answered with the bytes of the first answer (AIP-155).

The digest of the request's body is keyed, so the table of answers holds no fingerprint of a text
that anybody else could recompute.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from gateway.database.grouping import GroupCommit, Piece, Read
from gateway.database.idempotency import REQUESTS, Request, find_answer, remember
from gateway.database.uow import Database, UnitOfWork, run
from gateway.kernel.time import Clock, Instant


class Named(Protocol):
    """Somebody with a name of their own, such as a principal."""

    @property
    def name(self) -> str:
        """The name under which answers are remembered."""
        ...


class Asked(Protocol):
    """A mutating request: who asks for what, under which id, with which body."""

    @property
    def principal(self) -> Named:
        """Who asks."""
        ...

    @property
    def method(self) -> str:
        """What for."""
        ...

    @property
    def request_id(self) -> str:
        """Under which id."""
        ...

    @property
    def body(self) -> bytes:
        """With which body."""
        ...


Step = Callable[[UnitOfWork, Instant], Awaitable[bytes]]


class Once:
    """Runs each request in one unit of work together with the memory of its answer."""

    def __init__(self, *, database: Database, clock: Clock, key: bytes) -> None:
        """`clock` is business time, `key` protects the digests of bodies."""
        self._database = database
        self._clock = clock
        self._key = key
        self._group = GroupCommit(database)

    async def run(self, call: Asked, step: Step, *, locks: tuple[str, ...]) -> bytes:
        """Return the serialised answer of `step`, or the one that was given before.

        Raises:
            RequestIdReused: the id came before with another method or body.
        """
        return await run(self._database, self._once(self._request(call), step, locks))

    async def run_grouped(
        self, call: Asked, step: Step, *, locks: tuple[str, ...], reads: tuple[Read, ...]
    ) -> bytes:
        """Do as `run` in one unit with others that come at the same time (`grouping.py`).

        The step takes no other lock, and `reads` are keys that it will read.
        """
        request = self._request(call)
        piece = Piece(
            self._once(request, step, locks),
            locks=(request.lock, *locks),
            reads=((REQUESTS, (request.principal, request.request_id)), *reads),
        )
        return await self._group.run(piece)

    def _request(self, call: Asked) -> Request:
        return Request(
            principal=call.principal.name,
            request_id=call.request_id,
            method=call.method,
            body_digest=hmac.digest(self._key, call.body, hashlib.sha256),
        )

    def _once(
        self, request: Request, step: Step, locks: tuple[str, ...]
    ) -> Callable[[UnitOfWork], Coroutine[Any, Any, bytes]]:
        async def once(uow: UnitOfWork) -> bytes:
            known = await find_answer(uow, request)
            if known is not None:
                return known
            await uow.lock(*locks)
            now = self._clock.now()
            response = await step(uow, now)
            remember(uow, request, response=response, now=now)
            return response

        return once
