"""The project's own reference data, loaded once for all tests of the room."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.reference.data import ReferenceData

DIRECTORY = Path(__file__).parents[3] / "routing_rules" / "reference"


@pytest.fixture(scope="session")
def directory() -> Path:
    return DIRECTORY


@pytest.fixture(scope="session")
def data() -> ReferenceData:
    return ReferenceData.load(DIRECTORY)
