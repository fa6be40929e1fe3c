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
    name: str, values: Sequence[float], unit: str, *, baseline: str = "", note: str = ""
) -> Row:
    """Return the row of repeated measurements."""
    shown = float(f"{statistics.median(values):.4g}") if values else None
    return Row(name=name, value=shown, unit=unit, baseline=baseline, runs=len(values), note=note)


def table(rows: Sequence[Row]) -> str:
    """Return rows as text for a person."""
    lines = []
    for row in rows:
        value = "–" if row.value is None else f"{row.value:,.4g}"
        against = f"  / {row.baseline}" if row.baseline else ""
        note = f"  ({row.note})" if row.note else ""
        lines.append(f"{row.name:<44} {value:>12} {row.unit:<16} n={row.runs}{against}{note}")
    return "\n".join(lines)
