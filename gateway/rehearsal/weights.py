"""What a month of decisions counts for: how many tickets lie in a gap, which rules nobody needed.

`checking` weighs its findings with it. Cells are kinds of tickets (region, matter, type), so memory
is bounded by how many kinds there are, and by `CELLS_MAX`.
"""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from datetime import timedelta

from gateway.checking.model import History as Weights
from gateway.kernel.time import Instant
from gateway.rehearsal.history import DECISIONS_MAX, History

DAYS = 30
CELLS_MAX = 200_000  # a county has some thousand kinds of tickets a month


async def weigh(
    history: History, authority: str, *, now: Instant, days: int = DAYS
) -> Weights | None:
    """Return what was decided in the last days, or None when nothing was.

    The days count from the first decision: a node of yesterday has no month of history.
    """
    first = now
    cells: Counter[tuple[str, str, int]] = Counter()
    hits: Counter[str] = Counter()
    seen = 0
    pages = history.between(authority, start=now - timedelta(days=days), end=now)
    async with aclosing(pages) as found:
        async for page in found:
            first = min(first, *(past.now for past in page))
            for past in page:
                cell = (past.facts.region, past.facts.matter, past.facts.type)
                if cell in cells or len(cells) < CELLS_MAX:
                    cells[cell] += 1
                hits[past.rule] += 1
            seen += len(page)
            if seen >= DECISIONS_MAX:
                break
    days = min(days, 1 + (now - first).days)
    return Weights(days=days, cells=cells, hits=hits) if seen else None
