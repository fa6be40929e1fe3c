"""The project's data is found from a checkout; tests/integration/packaging looks into the wheel."""

from __future__ import annotations

import pytest

from gateway.kernel.data import data_path


def test_a_checkout_finds_its_rules() -> None:
    assert data_path("routing_rules/reference/matters.csv").is_file()


def test_a_missing_name_says_where_it_looked() -> None:
    with pytest.raises(FileNotFoundError, match=r"no data 'nowhere': looked at .*_data/nowhere"):
        data_path("nowhere")
