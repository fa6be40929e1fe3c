"""Values of reports: the policy, the cells, what left, and what noise does to a count.

The unit of privacy is one ticket. It stands in exactly one cell of one day, so one report moves by
at most 1 in one cell when a ticket is added or taken away, and no other report moves: the whole
series is ε-differentially private for one ticket, for ever (docs/aggregates.md#guarantee). A person
cannot be the unit: there is no id of a person that is stable across platforms, and making one
would be worse than the noise. So somebody with k tickets has k·ε.

The noise is discrete Laplace: P(X = x) is proportional to α^|x| with α = exp(-ε). ε is counted in
millionths, because a ledger that adds floats would drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import Instant

MICRO = 1_000_000
CONTRIBUTION_MAX = 1  # a ticket is counted in one cell of one day
EPSILON_MICRO_MIN, EPSILON_MICRO_MAX = 1_000, 10_000_000  # bounds of the standard
CELLS_MAX = 99  # two digits of first-level matters


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPolicy:
    """What a province decided about its reports.

    Attributes:
        epsilon_micro: price of one report, in millionths of ε; a ticket of a day pays it once.
        threshold: noisy values below it are withheld.
        year_micro: what all reports of a year may spend together.
        quarter_micro: what all reports of a quarter may spend together.

    The defaults: half of the ε = 1 that a ticket may spend in its life goes to its creation; the
    threshold is the usual 10; a year and a quarter pay one report a day and nothing besides.
    """

    epsilon_micro: int = 500_000
    threshold: int = 10
    year_micro: int = 183_000_000
    quarter_micro: int = 46_000_000

    def __post_init__(self) -> None:
        """Refuse a policy that no report could follow."""
        if not EPSILON_MICRO_MIN <= self.epsilon_micro <= EPSILON_MICRO_MAX:
            raise ValueError(f"epsilon_micro must be {EPSILON_MICRO_MIN}..{EPSILON_MICRO_MAX}")
        if not 1 <= self.threshold <= 1000:  # noqa: PLR2004 # the bound of the standard
            raise ValueError("threshold must be 1..1000")
        if min(self.year_micro, self.quarter_micro) < 0:
            raise ValueError("a budget is not negative")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for a report: a principal and the role it acts in (I11)."""

    principal: str
    role: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One matter's number as it leaves; None: withheld, which is not zero."""

    matter: str
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """What a province says about one day."""

    province: AuthorityCode
    day: int
    sequence: int
    epsilon_micro: int
    threshold: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A report that was drawn and signed, with its exact bytes."""

    report: DayReport
    statement: bytes
    digest: bytes
    created: Instant
    posted: bool
    repeated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A report that the budget did not pay; nothing was drawn."""

    day: int
    budget: str
    needed_micro: int
    left_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewCell:
    """One line of a preview; the example is drawn for it alone and never leaves."""

    matter: str
    name: str
    exact: int
    example: int
    is_example_suppressed: bool
    suppression_per_mille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What would leave for a day, beside the exact numbers."""

    province: AuthorityCode
    day: int
    closed: bool
    policy: ReportPolicy
    cells: tuple[PreviewCell, ...]
    pushed: Pushed | None


@dataclass(frozen=True, slots=True)
class Balance:
    """What a period may spend and has spent."""

    period: str
    budget_micro: int
    spent_micro: int

    @property
    def left_micro(self) -> int:
        """What is left; never negative."""
        return max(0, self.budget_micro - self.spent_micro)


# --- what the noise does -------------------------------------------------------------------------


def alpha_of(epsilon_micro: int) -> float:
    """Return α = exp(-ε) of the noise."""
    return math.exp(-epsilon_micro / MICRO / CONTRIBUTION_MAX)


def tail(epsilon_micro: int, at_least: int) -> float:
    """Return P(noise ≥ at_least)."""
    alpha = alpha_of(epsilon_micro)
    if at_least > 0:
        return alpha**at_least / (1 + alpha)
    return 1 - alpha ** (1 - at_least) / (1 + alpha)


def suppression(exact: int, *, epsilon_micro: int, threshold: int) -> float:
    """Return the chance that a cell with this exact count is withheld."""
    # The noise is symmetric; 1 - tail(…) would lose the digits of a small chance.
    return tail(epsilon_micro, exact - threshold + 1)


def variance(epsilon_micro: int) -> float:
    """Return the variance of one draw."""
    alpha = alpha_of(epsilon_micro)
    return 2 * alpha / (1 - alpha) ** 2


def error_bar(variances: float) -> int:
    """Return half the width of the 95 % interval of a sum of draws with this variance."""
    return math.ceil(1.96 * math.sqrt(variances))
