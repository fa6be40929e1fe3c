"""How long all checks of a great set of rules take, and how much memory: a part of `bench rules`.

In a process of its own, because the greatest memory of a process says nothing about one part of it.
Text is not parsed: the checks begin with the compiled set, as they do after a save.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.rows import Row, median_row
from benchmarks.rule_workload import FIRST_DAY, Workload
from gateway.checking.check import check_all
from gateway.kernel.data import data_path
from gateway.reference.data import ReferenceData
from gateway.routing.conditions import cel_conditions
from gateway.routing.packs import PackSet

SECONDS_MAX = 10.0
MEBIBYTES_MAX = 1024.0


async def rows_of(size: int) -> list[Row]:
    """Return the rows of all checks of a set of `size` rules and the nation's pack."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        seconds, mebibytes, found = await asyncio.get_running_loop().run_in_executor(
            pool, _checked, size
        )
    name = f"rules.{size}.checks"
    note = f"{found} findings; processor time"
    return [
        median_row(name, [seconds], "s", note=note, goal_max=SECONDS_MAX),
        median_row(
            f"{name}_memory", [mebibytes], "MiB", note="greatest, all in", goal_max=MEBIBYTES_MAX
        ),
    ]


def _checked(size: int) -> tuple[float, float, int]:
    reference = ReferenceData.load(data_path("routing_rules") / "reference")
    shipped = PackSet.load(
        data_path("routing_rules") / "packs",
        authorities=(),
        reference=reference,
        conditions=cel_conditions(),
    )
    workload = Workload(size, tickets=1, reference=reference)
    packs = PackSet([*workload.packs, *shipped.packs])
    gc.collect()
    gc.freeze()
    gc.disable()  # the worker ends after its answer
    began = time.process_time()
    findings = check_all(packs, reference=reference, now=FIRST_DAY)
    seconds = time.process_time() - began
    greatest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, greatest, len(findings.items)
