"""Times from outside stay within what every calendar and database can hold."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.codec import instant_from_pb, instant_of_field, instant_to_pb
from gateway.kernel.errors import FieldInvalid, StatementMalformed

EMPTY_DATE = -62_135_596_800  # 0001-01-01, what some platforms send for "no date"


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2999, 12, 31)).map(  # noqa: DTZ001 # made aware
        lambda moment: moment.replace(tzinfo=UTC)
    )
)
def test_a_time_of_these_centuries_comes_back_as_it_was(moment: datetime) -> None:
    assert instant_from_pb(instant_to_pb(moment)) == moment


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [
        (EMPTY_DATE, 0),
        (-2_208_988_801, 0),
        (32_503_680_000, 0),
        (10**15, 0),
        (-(10**15), 0),
        (0, -1),
        (0, 1_000_000_000),
    ],
)
def test_another_time_is_refused_and_never_overflows(seconds: int, nanos: int) -> None:
    stamp = Timestamp(seconds=seconds, nanos=nanos)

    with pytest.raises(StatementMalformed):
        instant_from_pb(stamp)
    with pytest.raises(FieldInvalid) as failure:
        instant_of_field(stamp, field="contact_time")
    assert failure.value.metadata["field"] == "contact_time"
