"""A real node whose database is replaced by an older copy of itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.recovery import with_database
from gateway.config import load_settings
from gateway.custody import store
from gateway.database.table import Query
from gateway.database.uow import Database
from gateway.delivery.store import EVIDENCE, EvidenceRow
from tests.e2e.harness import Harness, running
from tests.e2e.test_node_life import lubiao

RESTORED, PEER = "hebei", "tianjin"
SETTLE_SECONDS = 150.0
BACKUP_AFTER_SECONDS = 6.0  # some tickets have moved, others will
RECOVER_SECONDS = 120.0
EVERY_FORK: Query[EvidenceRow] = Query(
    "every_fork",
    EvidenceRow,
    "SELECT statement_digest, target, source, ticket, kind, reason, detail, envelope, recorded"
    " FROM evidence WHERE reason = 'CHAIN_FORKED'",
    lambda rows, _given: [row for row in rows(EVIDENCE) if row.reason == "CHAIN_FORKED"],
)
HELD: Query[store.ChainRow] = Query(
    "held_outside",
    store.ChainRow,
    f"SELECT {', '.join(store.CHAINS.columns())} FROM chains"
    " WHERE scope = '100000' AND holding = 'HELD' ORDER BY ticket",
    lambda rows, _given: rows(store.CHAINS),
)


def read(folder: Path, query: Query[Any]) -> list[Any]:
    """Return the rows of a query in a running node's database."""

    async def work(database: Database) -> list[Any]:
        async with database.unit() as uow:
            found: list[Any] = await uow.select(query)
            return found

    return with_database(load_settings(folder), work)


def stand(folder: Path) -> dict[str, Any]:
    """Return what `lubiao recovery show` says."""
    done = lubiao("recovery", "show", folder, "--json")
    found: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
    return found


async def until_mode(folder: Path, mode: str, *, returned: bool = False) -> dict[str, Any]:
    end, found = time.monotonic() + RECOVER_SECONDS, dict[str, Any]()
    while time.monotonic() < end:
        found = await asyncio.to_thread(stand, folder)
        has_peers = bool(found.get("peers")) and not found["missing"]
        if found.get("mode") == mode and (has_peers or not returned):
            return found
        await asyncio.sleep(1)
    raise AssertionError(f"the node does not come to be {mode}: {found}")


def copy(source: Path, target: Path) -> None:
    """Copy a stopped database with its owner, who is not always that of the gateway."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    (target / "postmaster.pid").unlink(missing_ok=True)


def restart(harness: Harness) -> None:
    """Start what was stopped on purpose."""
    harness.revive()


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_node_whose_database_is_an_older_one_recovers_from_its_peers(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, tickets=2) as harness:
        layout = harness.federation.layout
        folder, database = layout.node(RESTORED), layout.database(RESTORED)
        await asyncio.sleep(BACKUP_AFTER_SECONDS)
        harness.kill(RESTORED, gateway=True, database=True)
        await asyncio.sleep(1)
        copy(database, tmp_path / "backup")
        restart(harness)
        verdict = await harness.until_settled(seconds=SETTLE_SECONDS)
        assert verdict.is_good, harness.explain(verdict)
        before = await asyncio.to_thread(read, folder, HELD)

        harness.kill(RESTORED, gateway=True, database=True)
        await asyncio.sleep(1)
        shutil.rmtree(database)
        copy(tmp_path / "backup", database)
        restart(harness)

        found = await until_mode(folder, "recovering", returned=True)
        assert found["incarnation"] == 2
        assert any(peer["statements"] for peer in found["peers"])
        refused = await asyncio.to_thread(
            lubiao, "recovery", "confirm", folder, "--by", "测试员", "--without", "nobody"
        )
        assert refused.returncode != 0
        done = await asyncio.to_thread(lubiao, "recovery", "confirm", folder, "--by", "测试员")
        assert done.returncode == 0, done.stderr
        await until_mode(folder, "serving")

        for name in (RESTORED, PEER):
            assert await asyncio.to_thread(read, layout.node(name), EVERY_FORK) == []
        after = await asyncio.to_thread(read, folder, HELD)
        known = {(row.ticket, row.term_epoch, row.record_digest) for row in before}
        assert {(row.ticket, row.term_epoch, row.record_digest) for row in after} == known
