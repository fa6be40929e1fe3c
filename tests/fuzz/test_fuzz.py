"""The fuzz targets read their seeds, what was once found, and bytes that hypothesis damages.

The stage `fuzz` of `make test` runs them under a fuzzer for a minute, `make fuzz` for as long as
one likes. Here each target shows that its seeds are good and that damaged ones are refused.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.errors import LubiaoError
from tests.fuzz.run import FOUND
from tests.fuzz.targets import TARGETS, Target

BY_NAME = {target.name: target for target in TARGETS}


def read(target: Target, data: bytes) -> None:
    with suppress(LubiaoError):
        target.read(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_its_seeds_are_valid(target: Target) -> None:
    seeds = target.seeds()
    assert seeds
    for seed in seeds:
        target.read(seed)


def test_what_was_once_found_stays_mended() -> None:
    for path in sorted(FOUND.rglob("*.bin")):
        read(BY_NAME[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
@given(data=st.data())
def test_damaged_bytes_get_a_typed_error(target: Target, data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(target.seeds())))
    for _ in range(data.draw(st.integers(1, 4))):
        if not seed:
            break
        place = data.draw(st.integers(0, len(seed) - 1))
        seed[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(seed)))
    read(target, bytes(seed[: cut or None]))
