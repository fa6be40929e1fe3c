"""What tests of the command share: the language of one must not be heard in the next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.cli.output import Language, use_language


@pytest.fixture(autouse=True)
def _chinese_as_before() -> Iterator[None]:
    """Speak Chinese again after a test that spoke English."""
    yield
    use_language(Language.ZH)
