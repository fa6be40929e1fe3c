"""PostgreSQL inside the node: the binaries of the `lubiao[embedded]` extra, one cluster per node.

The server listens on a Unix socket only, in a directory that nobody else may enter, and so trusts
whoever reaches it. It outlives the gateway: when the gateway is killed, the orphaned server keeps
running and the next gateway *adopts* it instead of starting a second one. When the server is
killed, `ensure_running` starts it again and PostgreSQL recovers from its log; `watch` does so
within a moment. A clean stop of the gateway stops the server (`stop`), so only one gateway may have
it: the *owner* holds a lock on a file beside the data directory as long as it lives (`owned`).

PostgreSQL refuses to run as root. For a gateway that runs as root the server therefore runs as the
system user `lubiao-pg`, made with `useradd` on first use; it owns the data directory, and every
directory above that is closed to others gets one access-control entry, which lets exactly this
user pass through (not list, not read). Nothing of this happens for an ordinary user.

The server's log holds no statement and no parameter, because these hold personal data.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import asyncpg

from gateway.database.faults import LOST
from gateway.database.hosting import Binaries, Owner, find_binaries, find_owner, socket_directory
from gateway.database.uow import PEER, ROLLED_BACK
from gateway.kernel.errors import PeerUnreachable

ROLE = "lubiao"
DATABASE = "lubiao"
PORT = 5432  # only names the socket file
PID_FILE = "postmaster.pid"
SOCKET_LINE = 4  # of the pid file
SOCKET_FILE = f".s.PGSQL.{PORT}"
START_TIMEOUT = timedelta(seconds=60)  # crash recovery of a busy node may replay much log
STOP_TIMEOUT = timedelta(seconds=30)
PROBE_TIMEOUT = timedelta(seconds=5)
PROBE_INTERVAL = timedelta(milliseconds=250)  # how long a killed server goes unnoticed
BACK_OFF_FIRST = timedelta(milliseconds=50)
BACK_OFF_START_MAX = timedelta(milliseconds=400)  # a start takes a tenth of a second
BACK_OFF_MAX = timedelta(seconds=10)  # between starts that failed
OWNER_TIMEOUT = timedelta(seconds=5)  # a gateway that is just ending
DEAD_PID = 2**22 + 1  # above the kernel's largest process id
LOG_BYTES_MAX = 8 * 1024 * 1024  # one older log is kept beside it

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "40",  # four processes with ten connections each
    "max_locks_per_transaction": "128",  # a group commit holds some 200 names, four processes two
    "shared_buffers": "64MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements and parameters hold personal data
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",  # without DETAIL, which quotes key values
    "log_statement": "none",
    "log_checkpoints": "off",
}
FAST_AND_LOOSE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
"""Settings for tests that need no durability."""


class EmbeddedPostgres:
    """One PostgreSQL server over one data directory."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        binaries: Path | None = None,
    ) -> None:
        """Describe the server; nothing is started or written yet.

        `settings` override `SETTINGS`; `binaries` is a directory with `postgres`, `initdb` and
        `pg_ctl` to use instead of those of the extra.
        """
        self.data_dir = data_dir.resolve()
        self._settings = {**SETTINGS, **(settings or {})}
        self._chosen = binaries
        self._owner: Owner | None = None
        self._starting = asyncio.Lock()

    @property
    def socket_dir(self) -> Path:
        """The directory of the Unix socket: that of the living server, or the one it would use."""
        lines = _lines_of(self.data_dir / PID_FILE)
        if self.pid() is not None and len(lines) > SOCKET_LINE and lines[SOCKET_LINE]:
            return Path(lines[SOCKET_LINE])
        return socket_directory(self.data_dir)

    def dsn(self, database: str = DATABASE) -> str:
        """Return the address of a database of this server."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{ROLE}@/{quote(database)}?host={host}&port={PORT}"

    async def start(self) -> str:
        """Make, adopt or start the server and return the address of its database.

        Raises:
            PeerUnreachable: it does not start; `server.log` in the data directory says why.
        """
        await self.ensure_running()
        await self.create_database(DATABASE)
        return self.dsn()

    @contextlib.asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Be the one gateway of this server; its death by any cause lets others own it.

        Raises:
            PeerUnreachable: another gateway owns it.
        """
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        path = self.data_dir.with_name(f"{self.data_dir.name}.owner")
        with path.open("a", encoding="ascii") as file:
            async with _deadline(OWNER_TIMEOUT, "another gateway runs on this database"):
                while not _is_locked_by_us(file.fileno()):  # noqa: ASYNC110 it sends no event
                    await asyncio.sleep(PROBE_INTERVAL.total_seconds())
            yield  # closing the file lets the lock go

    async def ensure_running(self) -> None:
        """Return when the server answers; start it if it does not live."""
        async with self._starting, _deadline(START_TIMEOUT, "it did not start in time"):
            pause = BACK_OFF_FIRST
            while not await self._answers():
                if self.pid() is None:
                    await self._launch()
                # It may be recovering, or processes of a killed server may still be ending.
                await asyncio.sleep(pause.total_seconds())
                pause = min(pause * 2, BACK_OFF_START_MAX)

    async def watch(self, stopping: asyncio.Event) -> None:
        """Start the server again whenever it dies, until `stopping` is set."""
        pause = PROBE_INTERVAL
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await stopping.wait()
                    return
            if self.pid() is not None:
                pause = PROBE_INTERVAL
                continue
            try:
                await self.ensure_running()
            except PeerUnreachable:
                pause = min(pause * 2, BACK_OFF_MAX)

    async def stop(self) -> None:
        """Shut the server down: open transactions roll back, all else is on disk."""
        pid = self.pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)  # PostgreSQL's "fast" shutdown
        async with _deadline(STOP_TIMEOUT, "it did not stop in time"):
            while _is_alive(pid):  # noqa: ASYNC110 the server is not our child, it sends no event
                await asyncio.sleep(0.02)

    async def create_database(self, name: str, *, template: str = "template1") -> None:
        """Create a database unless it exists; a copy of `template` if one is named."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            found = "SELECT 1 FROM pg_database WHERE datname = $1"
            if await connection.fetchval(found, name) is None:
                await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process was faster
        finally:
            await connection.close()

    async def drop_database(self, name: str) -> None:
        """Drop a database and cut its connections."""
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        finally:
            await connection.close()

    # --- the server process ------------------------------------------------------------------

    def pid(self) -> int | None:
        """Return the process id of the living server of this data directory, or None.

        The file of a server that died, or whose process id somebody else has now, counts as none.
        """
        pid = _pid_of(_lines_of(self.data_dir / PID_FILE))
        is_ours = pid is not None and _is_alive(pid) and _works_in(pid, self.data_dir)
        return pid if is_ours else None

    async def _answers(self) -> bool:
        """Tell whether a server answers at the socket and serves this very data directory."""
        if self.pid() is None:
            return False
        try:
            async with asyncio.timeout(PROBE_TIMEOUT.total_seconds()):
                connection = await asyncpg.connect(self.dsn("postgres"))
                try:
                    served = await connection.fetchval("SHOW data_directory")
                finally:
                    await connection.close()
        except LOST:
            return False
        if served != str(self.data_dir):
            raise _unreachable("another server answers at its socket")
        return True

    async def _launch(self) -> None:
        if self._owner is None:
            self._owner = await find_owner()
        wanted = self._version()
        binaries = await find_binaries(self._chosen, version=wanted)
        self._owner.let_pass(binaries.directory)
        self._owner.prepare(self.data_dir)
        self._owner.prepare(self.socket_dir)
        if wanted is None:
            await self._initialise(binaries, self._owner)
        self._disown_stale_locks()
        self._write_settings(self._owner)
        self._rotate_log()
        await self._run(
            self._owner,
            str(binaries.directory / "pg_ctl"),
            "start",
            "--no-wait",
            "--silent",
            f"--pgdata={self.data_dir}",
            f"--log={self.data_dir / 'server.log'}",
        )

    def _version(self) -> str | None:
        """Return the major version that made the data directory, None before the first start."""
        try:
            return (self.data_dir / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return None

    async def _initialise(self, binaries: Binaries, owner: Owner) -> None:
        """Make a fresh cluster beside its place and move it there, so a crash leaves no half."""
        for left_over in self.data_dir.parent.glob(f"{self.data_dir.name}.initdb-*"):
            if not _is_alive(int(left_over.name.rpartition("-")[2])):
                shutil.rmtree(left_over)
        fresh = self.data_dir.with_name(f"{self.data_dir.name}.initdb-{os.getpid()}")
        owner.prepare(fresh)
        await self._run(
            owner,
            str(binaries.directory / "initdb"),
            f"--pgdata={fresh}",
            f"--username={ROLE}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",  # text sorts by code point, as in Python
            *(("--no-sync",) if self._settings["fsync"] == "off" else ()),
        )
        fresh.replace(self.data_dir)

    def _disown_stale_locks(self) -> None:
        """Put a dead process id into lock files of a dead server whose id still counts as alive.

        That is an unreaped process, or another one that has the id now; PostgreSQL clears every
        other stale file itself. The files stay, because PostgreSQL finds the old shared memory
        through them and must not start while processes of the killed server still use it.
        """
        if self.pid() is not None:
            return
        for path in (self.data_dir / PID_FILE, self.socket_dir / f"{SOCKET_FILE}.lock"):
            lines = _lines_of(path)
            pid = _pid_of(lines)
            if pid is not None and Path(f"/proc/{pid}").exists():
                path.write_text("\n".join([str(DEAD_PID), *lines[1:]]) + "\n")

    def _write_settings(self, owner: Owner) -> None:
        settings = {**self._settings, "unix_socket_directories": str(self.socket_dir)}
        lines = ["# Written by lubiao at every start; changes here are lost."]
        for name, value in settings.items():
            escaped = value.replace("'", "''")
            lines.append(f"{name} = '{escaped}'")
        path = self.data_dir / "postgresql.conf"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        owner.give(path)

    def _rotate_log(self) -> None:
        log = self.data_dir / "server.log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.old"))

    async def _run(self, owner: Owner, *command: str) -> None:
        def run() -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(  # noqa: S603 (PostgreSQL's own programs, no shell)
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env={"PATH": os.defpath, "LC_ALL": "C"},
                check=False,
                **owner.subprocess_options(),
            )

        # A thread, because uvloop's own subprocesses cannot change the user (`user=` is refused).
        finished = await asyncio.to_thread(run)
        if finished.returncode != 0:
            last = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
            name = Path(command[0]).name
            raise _unreachable(f"{name} failed ({finished.returncode}): {' '.join(last)}")


def _unreachable(got: str) -> PeerUnreachable:
    return PeerUnreachable(
        peer=PEER, got=got, outcome=ROLLED_BACK, hint="see server.log in the data directory"
    )


@contextlib.asynccontextmanager
async def _deadline(limit: timedelta, got: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limit.total_seconds()):
            yield
    except TimeoutError as error:
        raise _unreachable(got) from error


def _is_locked_by_us(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lines_of(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:
        return []


def _pid_of(lines: list[str]) -> int | None:
    return int(lines[0]) if lines and lines[0].strip().isdecimal() else None


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return not Path("/proc/self").exists()  # without /proc the signal was all we can know
    return state != "Z"


def _works_in(pid: int, directory: Path) -> bool:
    """Tell whether a process works in `directory`, as a PostgreSQL server does in its data."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == directory
    except PermissionError:
        return False  # a process of somebody else
    except OSError:
        return not Path("/proc/self").exists()
