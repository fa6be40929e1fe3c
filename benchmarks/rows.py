"""Rows of a result, as `lubiao bench` prints them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure of a run: the median of `runs` repeats.

    `value` is None when a peer is missing; `note` says why. `goal` is None where none was set.
    """

    name: str
    value: float | None
    unit: str
    baseline: str = ""
    runs: int = 1
    goal: float | None = None
    met: bool | None = None
    note: str = ""

    def as_json(self) -> dict[str, object]:
        """Return the row for JSON."""
        return asdict(self)


def median_row(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    baseline: str = "",
    note: str = "",
    goal_min: float | None = None,
    goal_max: float | None = None,
) -> Row:
    """Return the row of repeated measurements; a goal is a least or a greatest value.

    Without a value a goal counts as not met.
    """
    shown = float(f"{statistics.median(values):.4g}") if values else None
    goal = goal_max if goal_min is None else goal_min
    met = None
    if goal is not None:
        met = shown is not None and (shown >= goal if goal_max is None else shown <= goal)
    return Row(
        name=name,
        value=shown,
        unit=unit,
        baseline=baseline,
        runs=len(values),
        goal=goal,
        met=met,
        note=note,
    )


def table(rows: Sequence[Row]) -> str:
    """Return rows as text for a person."""
    lines = []
    for row in rows:
        value = "–" if row.value is None else f"{row.value:,.4g}"
        against = f"  / {row.baseline}" if row.baseline else ""
        note = f"  ({row.note})" if row.note else ""
        goal = "" if row.goal is None else f"  goal {row.goal:g}: {'met' if row.met else 'NOT met'}"
        lines.append(f"{row.name:<44} {value:>12} {row.unit:<16} n={row.runs}{against}{goal}{note}")
    return "\n".join(lines)
