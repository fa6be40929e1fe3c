"""The proxy leaves nothing behind, also of who connects while it stops."""

from __future__ import annotations

import asyncio
import gc
import socket
import warnings

import pytest

from tests.chaos.proxy import linked


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_while_the_proxy_stops_is_closed(turns: int) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    endpoint = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with linked({"here": endpoint, "there": endpoint}) as links:
        callers = [
            socket.create_connection(("127.0.0.1", links["here", "there"].port)) for _ in range(5)
        ]
        for _ in range(turns):  # of the loop: accepted, being served, dialling onward …
            await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always", ResourceWarning)
        for caller in callers:
            caller.close()
        gc.collect()
    server.close()
    await server.wait_closed()
    assert not [str(each.message) for each in left]
