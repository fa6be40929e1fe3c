"""No caller fills the log, and none can hide another's lines or the node's own."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from gateway.telemetry.throttle import KEYS_MAX, LINES_PER_MINUTE_MAX, MINUTE_SECONDS, Throttle


class Log:
    """A log behind the bound."""

    def __init__(self) -> None:
        """Begin at second zero."""
        self.second = 0.0
        self.lines: list[dict[str, Any]] = []
        self._throttle = Throttle(lambda: self.second)

    def write(self, event: str, **fields: object) -> None:
        """Write a line, or leave it out."""
        try:
            self.lines.append(dict(self._throttle(None, "info", {"event": event, **fields})))
        except structlog.DropEvent:
            return


@pytest.fixture
def log() -> Log:
    """An empty log."""
    return Log()


def test_a_flood_of_one_peer_is_cut_and_counted(log: Log) -> None:
    for _ in range(10_000):
        log.write("envelope.refused", peer="bad", reason="STATEMENT_MALFORMED")
    assert len(log.lines) == LINES_PER_MINUTE_MAX
    log.write("envelope.refused", peer="good", reason="STATEMENT_MALFORMED")
    assert log.lines[-1]["peer"] == "good"
    log.second += MINUTE_SECONDS
    log.write("envelope.refused", peer="bad", reason="STATEMENT_MALFORMED")
    assert log.lines[-1]["left_out"] == 10_000 - LINES_PER_MINUTE_MAX


def test_what_the_node_says_of_itself_is_never_left_out(log: Log) -> None:
    for _ in range(500):
        log.write("pump.stalled", reason="PEER_UNREACHABLE")
        log.write("rpc.ended", code="OK", principal="p")
    assert len(log.lines) == 1000


def test_a_thousand_names_are_one(log: Log) -> None:
    for number in range(50 * KEYS_MAX):
        log.write("rpc.ended", code="PERMISSION_DENIED", principal=f"p{number}", reason="X")
    assert len(log.lines) <= KEYS_MAX + LINES_PER_MINUTE_MAX
