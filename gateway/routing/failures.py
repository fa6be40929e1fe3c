"""Conditions that failed at run time, kept until their rules' owners are told.

A decision names them (`Decision.failures`); whoever decided reports them here. Each is counted
for the operator's alarm, and kept once with a count until `take` hands them on: publishing stores
them for the rule's owner. Beyond the bound new ones are only counted: a pack with that many broken
rules shows itself by those that are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from gateway.routing.model import RuleFailure

KEPT_MAX = 1_000  # different ones: as many as an owner can work on


class FailureMeter(Protocol):
    """Counts failures; telemetry's `Metrics` is one."""

    def rule_failed(self) -> None:
        """Count one condition that could not be evaluated."""
        ...


class Failures:
    """What failed since it was last taken, in the order of the first time."""

    def __init__(self, meter: FailureMeter | None = None) -> None:
        """Begin empty; without a meter nothing is counted for the operator."""
        self.meter = meter
        self._kept: dict[RuleFailure, int] = {}

    def report(self, failures: Iterable[RuleFailure]) -> None:
        """Note the failures of one decision."""
        for failure in failures:
            if self.meter is not None:
                self.meter.rule_failed()
            if failure in self._kept or len(self._kept) < KEPT_MAX:
                self._kept[failure] = self._kept.get(failure, 0) + 1

    def take(self) -> tuple[tuple[RuleFailure, int], ...]:
        """Return what is kept, with how often, and begin anew."""
        taken = tuple(self._kept.items())
        self._kept.clear()
        return taken
