"""The peer of the whole way: two RabbitMQ brokers on loopback with a shovel between them.

What people build when messages must cross two sites and survive: a durable queue here, a shovel
that acknowledges when the other side has confirmed, a durable queue there. It neither checks nor
seals nor signs anything. The brokers are those of the Debian package `rabbitmq-server`; without it
`missing()` says so, and every row that needs it is null. They run as the current user below a
folder of their own, with a port mapper of their own, and end with the block.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.amqp import Connection
from gateway.cli.demo.processes import free_ports

BIN = Path("/usr/lib/rabbitmq/bin")  # the package's scripts that do not change the user
UP_SECONDS_MAX = 90.0
POLL_SECONDS = 0.5
WINDOW = 512
PREFETCH = 1000
MESSAGE_BYTES = 1024
MIB = 1024 * 1024
OUT, IN = "out", "in"
NEEDS = "needs the Debian package rabbitmq-server"


def missing() -> str:
    """Return why the brokers cannot run here; empty when they can."""
    if (BIN / "rabbitmq-server").exists() and shutil.which("epmd"):
        return ""
    return NEEDS


@dataclass(frozen=True, slots=True)
class Broker:
    """One running broker."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` and return what it says."""
        done = subprocess.run(  # noqa: S603 (the package's own program)
            [str(BIN / "rabbitmqctl"), "--quiet", *arguments],
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def memory_mib(self) -> float:
        """Return the memory of the broker and its helpers, MiB of PSS."""
        top = psutil.Process(self.process.pid)
        group = [top, *top.children(recursive=True)]
        return sum(each.memory_full_info().pss for each in group) / MIB


@asynccontextmanager
async def brokers(kind: str) -> AsyncIterator[tuple[Broker, Broker]]:
    """Run two brokers with queues of a kind (`classic`, `quorum`) and a shovel between them."""
    with TemporaryDirectory(prefix="lubiao-bench-mq-") as name:
        folder = Path(name)
        ports = free_ports(5)
        started: list[Broker] = []
        try:
            for broker, (port, distribution) in zip(
                ("a", "b"), (ports[:2], ports[2:4]), strict=True
            ):
                started.append(_start(folder, broker, port, distribution, mapper=ports[4]))
            source, target = started
            await _until_up(source)
            await _until_up(target)
            for each, queue in ((source, OUT), (target, IN)):
                async with await Connection.open(each.port) as connection:
                    await connection.declare(queue, kind=kind)
            _shovel(source, target)
            yield source, target
        finally:
            for each in started:
                each.process.terminate()
            for each in started:
                each.process.wait(UP_SECONDS_MAX)
            if started:
                _stop_mapper(started[0])


async def carried_per_second(source: Broker, target: Broker, messages: int) -> float:
    """Return messages a second from the first publish to the last acknowledgement at the end."""
    body = os.urandom(MESSAGE_BYTES)
    async with (
        await Connection.open(source.port) as publisher,
        await Connection.open(target.port) as consumer,
    ):
        began = time.monotonic()
        await asyncio.gather(
            publisher.publish(OUT, body, count=messages, window=WINDOW),
            consumer.consume(IN, count=messages, prefetch=PREFETCH),
        )
        return messages / (time.monotonic() - began)


async def memory_with_backlog(messages: int) -> float:
    """Return the MiB of a broker whose classic queue holds `messages` that nobody takes."""
    async with brokers("classic") as (source, target):
        source.control("clear_parameter", "shovel", "bench")
        del target
        async with await Connection.open(source.port) as publisher:
            await publisher.publish(OUT, os.urandom(MESSAGE_BYTES), count=messages, window=WINDOW)
        return source.memory_mib()


def _start(folder: Path, name: str, port: int, distribution: int, *, mapper: int) -> Broker:
    home = folder / name
    home.mkdir()
    plugins = folder / "plugins"
    plugins.write_text("[rabbitmq_shovel].\n", encoding="ascii")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),  # both share the cookie that is made here
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(mapper),
        "RABBITMQ_NODENAME": f"{name}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONFIG_FILE": str(home / "none"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "none-advanced"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none-environment"),
    }
    with (home / "output").open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 (the package's own program)
            [str(BIN / "rabbitmq-server")],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Broker(name, port, process, environment)


def _stop_mapper(broker: Broker) -> None:
    subprocess.run(  # noqa: S603 (our own port mapper, on its own port)
        [str(shutil.which("epmd")), "-kill"],
        env=dict(broker.environment),
        capture_output=True,
        check=False,
    )


async def _until_up(broker: Broker) -> None:
    end = time.monotonic() + UP_SECONDS_MAX
    while True:
        try:
            async with await Connection.open(broker.port):
                return
        except (OSError, RuntimeError):
            if broker.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"broker {broker.name} is not up") from None
            await asyncio.sleep(POLL_SECONDS)


def _shovel(source: Broker, target: Broker) -> None:
    definition = (
        f'{{"src-protocol": "amqp091", "src-uri": "amqp://127.0.0.1:{source.port}", '
        f'"src-queue": "{OUT}", "src-prefetch-count": {PREFETCH}, '
        f'"dest-protocol": "amqp091", "dest-uri": "amqp://127.0.0.1:{target.port}", '
        f'"dest-queue": "{IN}", "ack-mode": "on-confirm"}}'
    )
    source.control("set_parameter", "shovel", "bench", definition)
