"""What all tests share: profiles of hypothesis, marks by folder, golden files, the slowest test.

A test gets the mark of the folder it lies in (`tests/e2e/…` is `e2e`), so that a mark cannot be
forgotten; `chaos` and `slow` are set by hand. `HYPOTHESIS_PROFILE` chooses how many examples a
property gets; `--golden-update` belongs to `make golden`; `--timings-to` to tests/stages.py.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from _pytest.terminal import TerminalReporter
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.fixtures.databases", "tests.fixtures.federations", "tests.fixtures.golden"]

TESTS = Path(__file__).parent
MARK_OF_FOLDER = {
    "chaos": "e2e",
    "contract": "integration",
    "e2e": "e2e",
    "integration": "integration",
    "peers": "peers",
    "simulation": "simulation",
}

# A busy machine must not fail a property: time is bounded per test by pytest-timeout.
settings.register_profile("base", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", settings.get_profile("base"), max_examples=50)
settings.register_profile("ci", settings.get_profile("base"), max_examples=300, derandomize=True)
settings.register_profile("nightly", settings.get_profile("base"), max_examples=10_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this project."""
    group = parser.getgroup("lubiao")
    group.addoption("--golden-update", action="store_true", help="write golden files, not compare")
    group.addoption("--timings-to", metavar="FILE", help="write seconds by test as JSON")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its folder, and those with golden files; begin with the slow ones.

    Two workers share the tests: a slow one that begins last lets the other worker idle.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if mark := MARK_OF_FOLDER.get(folder):
            item.add_marker(mark)
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker("golden")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what a test did to logging that ran a command: its captured stream is closed by now."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Name the slowest test, and the seconds that each folder of tests took."""
    tests: dict[str, float] = defaultdict(float)
    folders: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                tests[report.nodeid] += report.duration
                folders["/".join(report.nodeid.split("/")[:2])] += report.duration
    if not tests:
        return
    if target := config.getoption("--timings-to"):
        Path(target).write_text(json.dumps(tests), encoding="utf-8")
    slowest = max(tests, key=lambda name: tests[name])
    terminalreporter.write_line(f"slowest test: {tests[slowest]:.1f} s {slowest}")
    shares = sorted(folders.items(), key=lambda share: -share[1])
    terminalreporter.write_line("by folder: " + ", ".join(f"{n} {s:.1f} s" for n, s in shares))
