"""The noise: the right distribution, in a process of its own, and no other noise when it fails.

The noise cannot be seeded, so the bounds of the statistical tests are those that correct noise
breaks with a chance below 10⁻¹² (Hoeffding).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.aggregates.drawing import NoiseProcess
from gateway.aggregates.model import tail
from gateway.kernel.errors import PeerUnreachable

EPSILON = 500_000
SAMPLES = 200_000
FAILURE = 1e-12
SECOND = timedelta(seconds=1)

COUNTED = f"""
import json, sys
from collections import Counter
from gateway.aggregates.noise import draw
found = Counter(draw([0] * {SAMPLES}, {EPSILON}))
json.dump({{str(value): times for value, times in found.items()}}, sys.stdout)
"""


def in_a_child(source: str) -> str:
    done = subprocess.run([sys.executable, "-c", source], check=True, capture_output=True)
    return done.stdout.decode()


@pytest.fixture(scope="module")
def found() -> Counter[int]:
    """Give how often each value was drawn."""
    counted = json.loads(in_a_child(COUNTED))
    return Counter({int(value): times for value, times in counted.items()})


def test_the_noise_has_the_distribution_that_it_claims(found: Counter[int]) -> None:
    slack = math.sqrt(math.log(2 / FAILURE) / (2 * SAMPLES))
    assert sum(found.values()) == SAMPLES
    for least in range(-12, 13):
        share = sum(times for value, times in found.items() if value >= least) / SAMPLES
        assert share == pytest.approx(tail(EPSILON, least), abs=slack)


def test_one_ticket_more_is_hidden_by_the_epsilon_that_is_paid(found: Counter[int]) -> None:
    """Audit from below: no event tells two neighbours apart better than e^ε."""
    slack = math.sqrt(math.log(2 / FAILURE) / (2 * SAMPLES))
    for least in range(-6, 7):
        here = sum(times for value, times in found.items() if value >= least) / SAMPLES
        there = sum(times for value, times in found.items() if value + 1 >= least) / SAMPLES
        assert there - slack <= math.exp(EPSILON / 1e6) * (here + slack)
    # And it is tight: at the upper tail neighbours differ by nearly the whole ε.
    upper = sum(times for value, times in found.items() if value >= 2)
    shifted = sum(times for value, times in found.items() if value + 1 >= 2)
    assert math.log(shifted / upper) > 0.85 * EPSILON / 1e6


async def test_two_draws_differ() -> None:
    noise = NoiseProcess()
    counts = [1000] * 60  # equal draws have a chance below 10⁻⁴⁰
    first = await noise.draw(counts, epsilon_micro=EPSILON)
    assert len(first) == 60
    assert first != await noise.draw(counts, epsilon_micro=EPSILON)


def test_the_node_itself_never_loads_the_library_of_the_noise() -> None:
    source = """
import asyncio, sys
import gateway.aggregates.servicer, gateway.aggregates.closing
from gateway.aggregates.drawing import NoiseProcess
asyncio.run(NoiseProcess().draw([1, 2], epsilon_micro=500000))
print([name for name in sys.modules if name.partition(".")[0] in {"opendp", "numpy"}])
"""
    assert in_a_child(source).strip() == "[]"


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ("import os; os.abort()", "crashed 3 times"),
        ("raise SystemExit(1)", "ended with 1"),
        ("raise SystemExit(69)", "not installed"),
        ("print('no json')", "does not parse"),
        ("print('{}')", "does not parse"),
        ("print('{\"noisy\": [1]}')", "one number for each"),
        ("print('{\"noisy\": [1.5, 2]}')", "one number for each"),
        ("print('{\"noisy\": [true, 2]}')", "one number for each"),
    ],
)
async def test_a_broken_child_is_one_typed_error_and_no_number(source: str, got: str) -> None:
    noise = NoiseProcess(command=(sys.executable, "-c", source))
    with pytest.raises(PeerUnreachable, match=got):
        await noise.draw([1, 2], epsilon_micro=EPSILON)


async def test_a_missing_library_names_what_to_install() -> None:
    noise = NoiseProcess(command=(sys.executable, "-c", "raise SystemExit(69)"))
    with pytest.raises(PeerUnreachable, match=r"lubiao\[aggregates\]"):
        await noise.draw([1], epsilon_micro=EPSILON)


async def test_a_child_that_hangs_is_ended() -> None:
    noise = NoiseProcess(
        command=(sys.executable, "-c", "import time; time.sleep(60)"), time_max=0.2 * SECOND
    )
    with pytest.raises(PeerUnreachable, match="no answer within"):
        await noise.draw([1], epsilon_micro=EPSILON)


async def test_a_child_that_cannot_start_is_one_typed_error() -> None:
    noise = NoiseProcess(command=("/nonexistent/python",))
    with pytest.raises(PeerUnreachable, match="cannot be started"):
        await noise.draw([1], epsilon_micro=EPSILON)


async def test_a_child_that_crashed_is_asked_once_more(tmp_path: Path) -> None:
    """The first one dies by a signal, as a broken library lets it; the second one answers."""
    mark = tmp_path / "first"
    source = (
        "import os, pathlib, signal, sys\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        "if not mark.exists():\n"
        "    mark.touch()\n"
        "    os.kill(os.getpid(), signal.SIGSEGV)\n"
        "sys.stdin.read()\n"
        "print('{\"noisy\": [7, 8]}')\n"
    )
    noise = NoiseProcess(command=(sys.executable, "-c", source))
    assert await noise.draw([1, 2], epsilon_micro=EPSILON) == (7, 8)


async def test_a_child_that_always_crashes_is_one_typed_error() -> None:
    source = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    noise = NoiseProcess(command=(sys.executable, "-c", source))
    with pytest.raises(PeerUnreachable, match="crashed 3 times"):
        await noise.draw([1], epsilon_micro=EPSILON)
