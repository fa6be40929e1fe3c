"""The child process that draws noise: `python -m gateway.aggregates.noise`.

It reads one JSON object on standard input, `{"counts": […], "epsilon_micro": n}`, and writes one on
standard output, `{"noisy": […]}`. It runs apart because the library of the noise is large native
code: a crash in it must not take a node with tickets along, and a node that pushes no report must
not load it. It imports nothing else of the gateway and draws from no source but OpenDP: when that
fails there is no report, never another noise.

The scale is the smallest float at which OpenDP's own privacy map certifies the wished ε for one
ticket (distance 1); the map, not our arithmetic, is what the ledger relies on.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

MICRO = 1_000_000
DISTANCE = 1  # one ticket changes one count by one
SCALE_STEPS_MAX = 16  # rounding is a few steps of a float; more would be a defect
NOT_INSTALLED = 69  # EX_UNAVAILABLE


def draw(counts: list[int], epsilon_micro: int) -> list[int]:
    """Return the counts with integer discrete Laplace noise of `epsilon_micro`."""
    import opendp.prelude as dp  # noqa: PLC0415 # an extra, and only in this process

    dp.enable_features("contrib")
    epsilon = epsilon_micro / MICRO
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l1_distance(T="i64")
    scale = DISTANCE / epsilon
    for _ in range(SCALE_STEPS_MAX):
        mechanism: Any = dp.m.make_laplace(*space, scale=scale)
        if mechanism.map(DISTANCE) <= epsilon:
            return [int(value) for value in mechanism(counts)]
        scale = math.nextafter(scale, math.inf)
    raise ArithmeticError("no scale is certified")


def main() -> int:
    """Answer the request on standard input; return the exit code."""
    request = json.load(sys.stdin)
    counts, epsilon_micro = request["counts"], request["epsilon_micro"]
    try:
        noisy = draw([int(count) for count in counts], int(epsilon_micro))
    except ImportError:
        return NOT_INSTALLED
    sys.stdout.write(json.dumps({"noisy": noisy}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
