"""Files between nodes: sealed to the authority that fetches them, chunk by chunk, and resumable.

**Theory of operation.** What travels with a ticket is the list of its files, by digest. Whoever
accepted the ticket fetches the bytes afterwards from the authority it came from. Each call makes a
fresh data key, sealed (HPKE) to the fetching authority for exactly this ticket, digest, source and
target; the chunks of the file follow under that key (`gateway.trust.chunks`), and open only at
their place. A broken call is resumed at the stored offset, which is always the end of a chunk,
under another key. That the bytes are the right ones is proved by their digest at the end, whoever
sent them.

The fetcher takes due files from its shelf (`WantedFiles`), some at a time, each for a turn, and
puts back what failed or is not whole by then, with a growing delay. All it knows lies on the shelf,
so a restart goes on where it stopped.
Between two authorities of one node the same steps are taken without a key and a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import Protocol

import structlog

from gateway.kernel.errors import (
    CommitmentMismatch,
    FieldInvalid,
    LubiaoError,
    PeerNotAllowed,
    PeerUnreachable,
)
from gateway.kernel.ids import AuthorityCode, Epoch, Ids, NodeId, TicketNumber
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass
from gateway.trust.chunks import CHUNK_BYTES, ChunkCipher
from gateway.trust.key_ring import KeyRing
from gateway.trust.keys import SECRET_BYTES, KeyId
from gateway.trust.roster import Roster
from gateway.trust.sealing import Sealed, SealingContext, open_sealed, seal

CHUNKS_AT_ONCE = 4  # half a MiB is committed at a time
FETCHES_AT_ONCE = 4  # files; a node must stay quick for tickets
LEASE = timedelta(seconds=30)  # after a crash another process goes on; each commit renews it
TURN = timedelta(seconds=20)  # within a lease; a slow source holds the others up no longer
IDLE_POLL = timedelta(seconds=1)
SWEEP_INTERVAL = timedelta(hours=1)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file that `target` wants from `source`, and from where on."""

    ticket: TicketNumber
    digest: str
    size: int
    offset: int
    source: AuthorityCode
    target: AuthorityCode

    def context(self) -> SealingContext:
        """Return what the key of a call is bound to."""
        return SealingContext(
            ticket=self.ticket,
            scope=self.source,
            chain=0,
            epoch=Epoch(0, 0),
            source=self.source,
            target=self.target,
            kind=f"blob/{self.digest}",
        )


@dataclass(frozen=True, slots=True)
class BlobSeal:
    """How the chunks of one call are sealed."""

    size: int
    sealed_key: Sealed


Part = BlobSeal | bytes
"""What a call of FetchBlob gives: the seal first, then sealed chunks."""


class BlobSource(Protocol):
    """Gives the bytes of files to those who may have them; the upward port of FetchBlob."""

    async def size(self, wanted: Wanted) -> int:
        """Return the size of a file, and record that it is fetched.

        Raises:
            PeerNotAllowed: the target neither holds nor held the ticket, as is known here.
            ResourceNotFound: there is no such file, or its bytes are still to come here too.
        """
        ...

    def read(self, wanted: Wanted, *, size: int) -> AsyncGenerator[bytes, None]:
        """Yield the chunks from the wanted offset on."""
        ...


class WantedFiles(Protocol):
    """The shelf of files to fetch; the tickets room keeps it."""

    async def claim(self, *, now: Instant, lease: timedelta, limit: int) -> list[Wanted]:
        """Return files to fetch now; nobody else gets them before `lease` is over."""
        ...

    async def store(
        self, wanted: Wanted, *, offset: int, chunks: Sequence[bytes], now: Instant
    ) -> int:
        """Store chunks that continue the file at `offset`; return the stored size."""
        ...

    async def settle(self, wanted: Wanted, *, now: Instant) -> bool:
        """Check the digest of a file that arrived whole; tell whether it was true."""
        ...

    async def postpone(self, wanted: Wanted, *, now: Instant, is_mismatch: bool = False) -> None:
        """Note that an attempt failed."""
        ...

    async def sweep(self) -> int:
        """Remove what nobody continued; return how much."""
        ...


class BlobTransport(Protocol):
    """Calls FetchBlob of another node."""

    def fetch(self, node: NodeId, wanted: Wanted) -> AsyncGenerator[Part, None]:
        """Yield the seal, then sealed chunks.

        Raises:
            PeerUnreachable: the call failed; what came before is good.
        """
        ...


class BlobServer:
    """Serves FetchBlob of one node."""

    def __init__(
        self, *, source: BlobSource, roster: Callable[[], Roster], clock: Clock, ids: Ids
    ) -> None:
        """`clock` is machine time: sealing keys are valid in it."""
        self._source = source
        self._roster = roster
        self._clock = clock
        self._ids = ids

    async def serve(self, wanted: Wanted, *, peer: NodeId) -> AsyncGenerator[Part, None]:
        """Yield the seal and the sealed chunks of a file for the node `peer`.

        Raises:
            PeerNotAllowed: `peer` does not host the target, or the target may not have the file.
            FieldInvalid: the offset is not the beginning of a chunk.
            ResourceNotFound: there is no such file here.
        """
        roster = self._roster()
        if not roster.is_hosted_by(wanted.target, peer):
            raise PeerNotAllowed(
                principal=f"node/{peer}",
                got=f"a file for {wanted.target}",
                expected="a file for an authority that it hosts",
            )
        size = await self._source.size(wanted)
        if wanted.offset % CHUNK_BYTES or wanted.offset >= size:
            expected = f"a multiple of {CHUNK_BYTES} below {size}"
            raise FieldInvalid(field="offset", got=wanted.offset, expected=expected)
        recipient = roster.current_sealing_key(wanted.target, now=self._clock.now())
        key = self._ids.entropy(SECRET_BYTES)
        yield BlobSeal(size, seal(key, recipient, wanted.context()))
        cipher, offset = ChunkCipher(key, wanted.digest, size), wanted.offset
        async with aclosing(self._source.read(wanted, size=size)) as chunks:
            async for chunk in chunks:
                yield cipher.seal(offset, chunk)
                offset += len(chunk)


class BlobFetcher:
    """Fetches the wanted files of one node."""

    def __init__(
        self,
        *,
        node: NodeId,
        shelf: WantedFiles,
        source: BlobSource,
        transport: BlobTransport,
        roster: Callable[[], Roster],
        keys: KeyRing,
        clock: Clock,
        turn: timedelta = TURN,
    ) -> None:
        """`source` gives files of this node's own authorities; `clock` is machine time.

        A file that is not here after `turn` waits for its next one; what arrived is kept.
        """
        self._node = node
        self._shelf = shelf
        self._source = source
        self._transport = transport
        self._roster = roster
        self._keys = keys
        self._clock = clock
        self._turn = turn
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Tell that a file is wanted."""
        self._woken.set()

    async def run(self) -> None:
        """Fetch for ever; cancel to stop."""
        swept: Instant | None = None
        while True:
            self._woken.clear()
            try:
                more = await self.fetch_some()
                present = self._clock.now()
                if swept is None or present - swept >= SWEEP_INTERVAL:
                    await self._shelf.sweep()
                    swept = present
            except LubiaoError as error:  # the database is away for a moment
                log.warning("blobs.failed", reason=error.reason)
                more = False
            if not more:
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_POLL.total_seconds()):
                await self._woken.wait()

    async def fetch_some(self) -> bool:
        """Fetch files that are due, some at a time; tell whether there were any."""
        due = await self._shelf.claim(now=self._clock.now(), lease=LEASE, limit=FETCHES_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for wanted in due:
                group.create_task(self._guarded(wanted), name=f"blob/{wanted.digest[:8]}")
        return bool(due)

    async def _guarded(self, wanted: Wanted) -> None:
        is_mismatch = False
        try:
            if await self._fetch(wanted):
                return
            is_mismatch = True
            self._say(wanted, CommitmentMismatch.reason)
        except LubiaoError as error:  # what opened before a damaged chunk is good
            self._say(wanted, error.reason)
        except Exception:  # a defect in what one peer caused must not stop the other files
            log.exception("blob.failed", source=wanted.source, ticket=wanted.ticket)
        try:
            await self._shelf.postpone(wanted, now=self._clock.now(), is_mismatch=is_mismatch)
        except LubiaoError as error:  # its lease ends by itself
            self._say(wanted, error.reason)

    def _say(self, wanted: Wanted, reason: str) -> None:
        log.warning("blob.postponed", reason=reason, source=wanted.source, ticket=wanted.ticket)

    async def _fetch(self, wanted: Wanted) -> bool:
        """Fetch what is missing of one file; tell whether its digest is true."""
        if wanted.offset < wanted.size:
            await self._store(wanted)
        return await self._shelf.settle(wanted, now=self._clock.now())

    async def _store(self, wanted: Wanted) -> None:
        offset, held = wanted.offset, list[bytes]()
        ends = asyncio.get_running_loop().time() + self._turn.total_seconds()
        try:
            async with aclosing(self._chunks(wanted)) as chunks:
                while (chunk := await _next(chunks, ends)) is not None:
                    held.append(chunk)
                    if len(held) == CHUNKS_AT_ONCE:
                        block, held = held, []
                        offset = await self._put(wanted, offset, block)
        except LubiaoError:
            if held:  # what opened is good
                await self._put(wanted, offset, held)
            raise
        if held:
            offset = await self._put(wanted, offset, held)
        if offset < wanted.size:
            raise PeerUnreachable(peer=wanted.source, got=f"{offset} of {wanted.size} bytes")

    async def _put(self, wanted: Wanted, offset: int, chunks: Sequence[bytes]) -> int:
        return await self._shelf.store(wanted, offset=offset, chunks=chunks, now=self._clock.now())

    async def _chunks(self, wanted: Wanted) -> AsyncGenerator[bytes, None]:
        entry = self._roster().node_of(wanted.source)
        if entry is None:
            raise PeerUnreachable(peer=wanted.source, got="not in the roster")
        if entry.id == self._node:
            size = await self._source.size(wanted)
            self._check_size(wanted, size)
            async with aclosing(self._source.read(wanted, size=size)) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        cipher: ChunkCipher | None = None
        offset = wanted.offset
        async with aclosing(self._transport.fetch(entry.id, wanted)) as parts:
            async for part in parts:
                if isinstance(part, BlobSeal):
                    cipher = self._opened(wanted, part)
                    continue
                if cipher is None or offset >= wanted.size:
                    raise CommitmentMismatch(block=f"blob/{wanted.digest}")
                chunk = cipher.open(offset, part)
                offset += len(chunk)
                yield chunk

    def _opened(self, wanted: Wanted, part: BlobSeal) -> ChunkCipher:
        self._check_size(wanted, part.size)
        keys = self._keys.sealing_keys(wanted.target)
        sealed = part.sealed_key
        if sealed.key_id not in keys:
            raise CommitmentMismatch(block=f"blob/{wanted.digest}")
        key = open_sealed(sealed, keys[KeyId(sealed.key_id)], wanted.context())
        if len(key) != SECRET_BYTES:
            raise CommitmentMismatch(block=f"blob/{wanted.digest}")
        return ChunkCipher(key, wanted.digest, wanted.size)

    def _check_size(self, wanted: Wanted, size: int) -> None:
        """Refuse a file of another size than the ticket's content, which was signed, says."""
        if size != wanted.size:
            raise CommitmentMismatch(block=f"blob/{wanted.digest}")


async def _next(chunks: AsyncGenerator[bytes, None], ends: float) -> bytes | None:
    """Return the next chunk, or None when there is none or the turn is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(ends):
            return await anext(chunks, None)
    return None
