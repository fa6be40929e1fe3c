"""Shares: all names taken by somebody alive, evenly, whatever the rows say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.database.sharing import share

names = st.sets(st.sampled_from([f"pump/{letter}" for letter in "abcdefghij"]), max_size=10)
workers = st.sets(st.sampled_from(["one", "two", "three", "four"]), min_size=1)
holders = st.sampled_from(["one", "two", "three", "four", "dead"])


@given(
    wanted=names,
    living=workers,
    leases=st.dictionaries(
        st.sampled_from([f"pump/{letter}" for letter in "abcdefghijkl"]), holders
    ),
)
def test_some_heartbeats_after_any_state_all_is_held_evenly_by_the_living(
    wanted: set[str], living: set[str], leases: dict[str, str]
) -> None:
    for _ in range(3):
        for me in sorted(living):
            change = share(me, wanted=wanted, leases=leases, living=living)
            for name in change.given_up:
                assert leases.pop(name) == me
            for name in change.taken:
                assert leases.get(name) not in living
                leases[name] = me

    assert wanted <= leases.keys()
    held = {me: sum(leases[name] == me for name in wanted) for me in living}
    assert sum(held.values()) == len(wanted)
    assert max(held.values()) <= -(-len(wanted) // len(living))
    for me in living:
        again = share(me, wanted=wanted, leases=leases, living=living)
        assert not again.taken
        assert not again.given_up
