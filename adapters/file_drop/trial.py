"""An export file tried against a mapping, before anything is handed in. Pure.

It says what the node cannot say so early: which columns the mapping names and the file does not
have, which columns nobody reads, and every row that would be rejected here, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.file_drop.formats import Row
from adapters.file_drop.rows import ticket_of_row
from adapters.kit.mapping import COLUMNS_IN, REQUIRED, Mapping
from gateway.kernel.errors import LubiaoError


@dataclass(frozen=True, slots=True)
class Trial:
    """What came out."""

    rows: int
    missing: tuple[str, ...]  # columns of required fields that no row has
    unread: tuple[str, ...]  # columns of the file that the mapping does not name
    problems: tuple[tuple[int, LubiaoError], ...]  # row number and why it would be rejected

    @property
    def is_good(self) -> bool:
        """Whether every row could be handed in."""
        return self.rows > 0 and not self.missing and not self.problems


def try_rows(mapping: Mapping, rows: Sequence[Row], *, name: str) -> Trial:
    """Return how the rows of a file would fare."""
    present = dict.fromkeys(column for row in rows for column in row.values)  # as in the file
    read = {mapping.column(field) for field in COLUMNS_IN}
    required = [mapping.column(field) for field in REQUIRED if field not in mapping.constants]
    missing = tuple(column for column in required if column not in present)
    problems: list[tuple[int, LubiaoError]] = []
    for row in rows if not missing else ():  # else every row says the same
        try:
            ticket_of_row(mapping, row, name=name)
        except LubiaoError as error:
            problems.append((row.number, error))
    unread = tuple(column for column in present if column not in read)
    return Trial(len(rows), missing, unread, tuple(problems))
