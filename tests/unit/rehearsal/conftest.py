"""The project's own data and packs, as the tests of routing have them."""

from __future__ import annotations

from tests.unit.routing.conftest import packs, reference

__all__ = ["packs", "reference"]
