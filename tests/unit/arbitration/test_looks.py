"""One caller looks at cases only so often and at so many at once; another is not held up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration.sight.looks import SPAN, LookQuota, Looks
from gateway.kernel.errors import QuotaExceeded
from gateway.kernel.time import ManualClock
from tests.unit.arbitration.builders import NOW

QUOTA = LookQuota(at_once_max=2, per_minute_max=3)


def looked(looks: Looks, caller: str = "a") -> bool:
    try:
        with looks.admit(caller):
            return True
    except QuotaExceeded:
        return False


def test_as_many_as_allowed_at_once_and_the_rest_is_told_when_to_come_again() -> None:
    looks = Looks(clock=ManualClock(NOW), quota=QUOTA)
    with looks.admit("a"), looks.admit("a"):
        with pytest.raises(QuotaExceeded) as refused, looks.admit("a"):
            pytest.fail("a third at once")
        assert refused.value.retry_delay is not None
    assert looked(looks)  # those are over


def test_a_look_that_fails_is_over_too() -> None:
    looks = Looks(clock=ManualClock(NOW), quota=LookQuota(at_once_max=1))
    with pytest.raises(ValueError, match="test"), looks.admit("a"):
        raise ValueError("test")
    assert looked(looks)


def test_a_minute_later_one_looks_again_and_another_caller_at_once() -> None:
    clock = ManualClock(NOW)
    looks = Looks(clock=clock, quota=QUOTA)
    assert [looked(looks) for _ in range(4)] == [True, True, True, False]
    assert looked(looks, "b")
    with pytest.raises(QuotaExceeded) as refused, looks.admit("a"):
        pytest.fail("beyond the bound of a minute")
    clock.advance(refused.value.retry_delay or SPAN)
    assert looked(looks)


@given(st.lists(st.integers(0, 90), max_size=30))
def test_in_no_minute_are_there_more_than_the_bound(pauses: list[int]) -> None:
    clock = ManualClock(NOW)
    looks, done = Looks(clock=clock, quota=QUOTA), []
    for pause in pauses:
        clock.advance(timedelta(seconds=pause))
        if looked(looks):
            done.append(clock.now())
    for first, fourth in zip(done, done[3:], strict=False):
        assert fourth - first >= SPAN


def test_long_looks_of_many_callers_shut_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.arbitration.sight.looks.CALLERS_MAX", 2)
    clock = ManualClock(NOW)
    looks = Looks(clock=clock, quota=QUOTA)
    with looks.admit("a"), looks.admit("a"):
        clock.advance(2 * SPAN)
        assert not looked(looks)  # and nothing of the last minute is left to count
        assert looked(looks, "b")
        assert looked(looks, "c")
