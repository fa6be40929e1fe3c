"""The values: what they count and whom they know."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.custody.model import Holding
from gateway.kernel.ids import Epoch
from tests.unit.custody.builders import HEBEI, INNER, LANGFANG, OUTER, TIANJIN, a_chain

EPOCHS = st.builds(Epoch, st.integers(0, 16), st.integers(0, 32))


@given(EPOCHS, EPOCHS)
def test_the_floor_never_falls(floor: Epoch, seen: Epoch) -> None:
    assert a_chain(floor=floor).raised(seen) >= floor
    assert a_chain(Holding.ABSENT).raised(seen) == seen


def test_an_authority_is_no_party_to_itself() -> None:
    chain = a_chain().with_party(HEBEI, TIANJIN).with_party(HEBEI, LANGFANG)
    assert chain.parties == (HEBEI, LANGFANG)


def test_a_scope_is_outer_or_somebodys_home() -> None:
    assert OUTER.is_outer
    assert not INNER.is_outer
    assert not INNER.is_home
