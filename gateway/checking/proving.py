"""The solver's own process: questions as JSON lines on stdin, answers as JSON lines on stdout.

`python -m gateway.checking.proving SECONDS`. z3 alone is not to be trusted with its own timeout: a
question about strings once did not come back at all. So it has a process that can be ended from
outside, and the timeout it is given here is only the kinder of two.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import z3  # type: ignore[import-untyped] # the package ships no types

from gateway.checking.translation import Facts, Untranslated, bounds, formula, values_of

READY = "ready"


def answer(question: dict[str, Any], *, seconds: float) -> dict[str, Any]:
    """Return what z3 says to one question."""
    facts, solver = Facts(), z3.Solver()
    solver.set("timeout", int(seconds * 1000))
    try:
        for text, wanted in question["conditions"]:
            held = formula(text, facts)
            solver.add(held if wanted else z3.Not(held))
        solver.add(*bounds(question["allowed"], facts), *facts.limits)
        result = solver.check()
        if result == z3.unsat:
            return {"answer": "impossible"}
        if result == z3.sat:
            return {"answer": "possible", "facts": values_of(solver.model(), facts)}
    except (Untranslated, z3.Z3Exception, KeyError, ValueError):
        return {"answer": "undecided", "reason": "条件式超出可证明的范围"}
    return {"answer": "undecided", "reason": "求解器未能在时限内判定"}


def main() -> None:
    """Answer until stdin ends."""
    seconds = float(sys.argv[1])
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line), seconds=seconds)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
