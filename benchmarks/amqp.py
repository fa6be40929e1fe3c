"""A raw AMQP 0-9-1 client, as fast as Python allows: the load tool for the broker that we compare.

Only what the comparison needs: declare a queue, publish with confirms, consume and acknowledge.
Clients with more comfort reach a third of its rate: comparing with one of them would flatter us.
Frames and methods: AMQP 0-9-1 specification, sections 2.3 and 4.2; confirms: RabbitMQ's extension.
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType
from typing import Self

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"
START, START_OK, TUNE, TUNE_OK = (10, 10), (10, 11), (10, 30), (10, 31)
OPEN, OPEN_OK = (10, 40), (10, 41)
CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
DECLARE, DECLARE_OK = (50, 10), (50, 11)
QOS, QOS_OK, CONSUME, CONSUME_OK = (60, 10), (60, 11), (60, 20), (60, 21)
PUBLISH, DELIVER, ACK = (60, 40), (60, 60), (60, 80)
CONFIRM, CONFIRM_OK = (85, 10), (85, 11)
DURABLE = 2
PERSISTENT = struct.pack(">HB", 0x1000, 2)  # property flags: delivery mode only, which is 2
FRAME_MAX = 131_072
READ_BYTES = 1 << 18
ACK_EVERY = 64  # deliveries acknowledged with one frame


class Connection:
    """One connection with one channel; `await Connection.open(port)`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take an open socket; `open` does the handshake."""
        self._reader = reader
        self._writer = writer
        self._buffer = b""

    @classmethod
    async def open(cls, port: int) -> Self:
        """Return a connection to the broker on a loopback port."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self = cls(reader, writer)
        writer.write(b"AMQP\x00\x00\x09\x01")
        await self._expect(START)
        answer = struct.pack(">I", 0) + _short("PLAIN") + _long(b"\0guest\0guest") + _short("en_US")
        self._send(START_OK, answer, channel=0)
        tune = await self._expect(TUNE)
        channels = struct.unpack_from(">H", tune, 0)[0]
        self._send(TUNE_OK, struct.pack(">HIH", channels, FRAME_MAX, 0), channel=0)
        self._send(OPEN, _short("/") + _short("") + b"\0", channel=0)
        await self._expect(OPEN_OK)
        self._send(CHANNEL_OPEN, _short(""))
        await self._expect(CHANNEL_OPEN_OK)
        return self

    async def __aenter__(self) -> Self:
        """Use the connection."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the socket."""
        self._writer.close()

    async def declare(self, queue: str, *, kind: str) -> None:
        """Make a durable queue of a kind: `classic` or `quorum`."""
        table = _short("x-queue-type") + b"S" + _long(kind.encode())
        arguments = struct.pack(">H", 0) + _short(queue) + bytes([DURABLE]) + _long(table)
        self._send(DECLARE, arguments)
        await self._expect(DECLARE_OK)

    async def publish(self, queue: str, body: bytes, *, count: int, window: int) -> None:
        """Publish `count` persistent messages; at most `window` wait for their confirms."""
        self._send(CONFIRM, b"\0")
        await self._expect(CONFIRM_OK)
        method = struct.pack(">HHH", *PUBLISH, 0) + _short("") + _short(queue) + b"\0"
        header = struct.pack(">HHQ", 60, 0, len(body)) + PERSISTENT
        message = _frame(METHOD, method) + _frame(HEADER, header) + _frame(BODY, body)
        sent = confirmed = 0
        while confirmed < count:
            batch = min(count - sent, window - (sent - confirmed))
            if batch > 0:
                self._writer.write(message * batch)
                await self._writer.drain()
                sent += batch
            for _, payload in await self._frames():
                if struct.unpack_from(">HH", payload) == ACK:
                    tag, is_multiple = struct.unpack_from(">QB", payload, 4)
                    confirmed = tag if is_multiple else confirmed + 1

    async def consume(self, queue: str, *, count: int, prefetch: int) -> None:
        """Take `count` messages and acknowledge them."""
        self._send(QOS, struct.pack(">IHB", 0, prefetch, 0))
        await self._expect(QOS_OK)
        arguments = struct.pack(">H", 0) + _short(queue) + _short("") + b"\0" + _long(b"")
        self._send(CONSUME, arguments)
        await self._expect(CONSUME_OK)
        got = acked = tag = 0
        while got < count:
            for kind, payload in await self._frames():
                if kind == METHOD and struct.unpack_from(">HH", payload) == DELIVER:
                    [tag] = struct.unpack_from(">Q", payload, 5 + payload[4])
                    got += 1
            if got - acked >= ACK_EVERY or got >= count:
                self._send(ACK, struct.pack(">QB", tag, 1))
                await self._writer.drain()
                acked = got

    # --- frames -----------------------------------------------------------------------------

    def _send(self, method: tuple[int, int], arguments: bytes, *, channel: int = 1) -> None:
        payload = struct.pack(">HH", *method) + arguments
        self._writer.write(_frame(METHOD, payload, channel=channel))

    async def _expect(self, method: tuple[int, int]) -> bytes:
        """Return the arguments of the next method, which must be the one that is due."""
        while True:
            frames = await self._frames(limit=1)
            for kind, payload in frames:
                if kind != METHOD:
                    continue
                got = struct.unpack_from(">HH", payload)
                if got != method:
                    raise RuntimeError(f"the broker said {got}, expected {method}")
                return payload[4:]

    async def _frames(self, *, limit: int = 0) -> list[tuple[int, bytes]]:
        """Return the whole frames that have arrived, at least one; at most `limit` if given."""
        frames: list[tuple[int, bytes]] = []
        while True:
            offset, size = 0, len(self._buffer)
            while offset + 7 <= size and not (limit and len(frames) == limit):
                kind, _, length = struct.unpack_from(">BHI", self._buffer, offset)
                end = offset + 7 + length
                if end + 1 > size:
                    break
                frames.append((kind, self._buffer[offset + 7 : end]))
                offset = end + 1
            self._buffer = self._buffer[offset:]
            if frames:
                return frames
            read = await self._reader.read(READ_BYTES)
            if not read:
                raise RuntimeError("the broker closed the connection")
            self._buffer += read


def _frame(kind: int, payload: bytes, *, channel: int = 1) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _long(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
