"""Whether rules together take every ticket of a box: a bounded, exact search for one that is left.

The search cuts the box by the first rule that it meets and goes on with each piece and the rest of
the rules; a piece that no rule meets is left over, and with it the answer. Without a bound this may
take exponentially long (it decides satisfiability), so it ends after `PIECES_MAX` pieces with
"unknown". A left piece that rests on conditions is handed to `settle`, which finds a ticket in it,
says that there is none (and the search goes on), or cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from gateway.checking.boxes import Box
from gateway.checking.space import Area

PIECES_MAX = 2_000  # of one search: some 10 ms
Found = TypeVar("Found")


class No(Enum):
    """Why there is no ticket in a piece."""

    NONE = "none"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Left(Generic[Found]):
    """What a search came to: a ticket that is left, or not, or the bound was hit."""

    found: Found | None
    is_unknown: bool = False
    box: Box | None = None

    @property
    def is_covered(self) -> bool:
        """Whether nothing is left for certain."""
        return self.found is None and not self.is_unknown


def leftover(box: Box, areas: Sequence[Area], settle: Callable[[Box], Found | No]) -> Left[Found]:
    """Return a ticket of the box that no area has, if there is one within the bound."""
    stack = [(box, 0)]
    pieces, is_unknown = 0, False
    while stack:
        piece, first = stack.pop()
        pieces += 1
        if pieces > PIECES_MAX:
            return Left(None, is_unknown=True)
        for number in range(first, len(areas)):
            area = areas[number]
            parts = piece.without(area)
            if len(parts) == 1 and parts[0] is piece:
                continue
            stack += [(part, number + 1) for part in reversed(parts)]
            break
        else:
            result = settle(piece)
            if result is No.UNKNOWN:
                is_unknown = True
            elif not isinstance(result, No):
                return Left(result, box=piece)
    return Left(None, is_unknown=is_unknown)
