"""The small world, and the project's own reference data and packs, loaded once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.reference.data import ReferenceData
from gateway.routing.conditions import cel_conditions
from gateway.routing.packs import PackSet
from tests.unit.checking.worlds import a_world
from tests.unit.routing.builders import RULES


@pytest.fixture(scope="session")
def world() -> ReferenceData:
    """Two provinces and four matters."""
    return a_world()


@pytest.fixture(scope="session")
def reference() -> ReferenceData:
    """The real data under a fixed version."""
    return replace(ReferenceData.load(RULES / "reference"), version="reference-of-the-tests")


@pytest.fixture(scope="session")
def packs(reference: ReferenceData) -> PackSet:
    """The packs of the release."""
    folder = RULES / "packs"
    return PackSet.load(
        folder,
        authorities={path.name.partition(".")[0] for path in folder.glob("*.yaml")},
        reference=reference,
        conditions=cel_conditions(),
    )
