"""I5: what opens a case instead of the hop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.custody.guards import failed_guard, is_homeward, must_file
from gateway.custody.model import HOMEWARD_REASONS, Chain, Holding, OfferReason
from tests.unit.custody.builders import (
    HEBEI,
    INNER,
    LANGFANG,
    OUTER,
    SHIJIAZHUANG,
    TIANJIN,
    a_chain,
    an_offer,
    some_terms,
)


@pytest.mark.parametrize(
    ("chain", "cause"),
    [
        (a_chain(), None),
        (a_chain(hops=1, refusals=1), None),
        (a_chain(path=(HEBEI, TIANJIN)), "path"),
        (a_chain(hops=2), "hops"),
        (a_chain(refusals=2), "refusals"),
    ],
)
def test_two_hops_and_one_refusal_are_free(chain: Chain, cause: str | None) -> None:
    assert failed_guard(chain, some_terms(HEBEI)) == cause


@pytest.mark.parametrize(("homeward", "cause"), [(0, None), (1, None), (2, "homeward")])
def test_a_ticket_may_go_home_twice_however_often_it_hopped(
    homeward: int, cause: str | None
) -> None:
    chain = a_chain(key=INNER, path=(HEBEI, LANGFANG), hops=2, homeward=homeward)
    assert failed_guard(chain, some_terms(HEBEI, reason=OfferReason.OUTBOUND)) == cause


@pytest.mark.parametrize("reason", OfferReason)
def test_only_outbound_and_escalation_go_home(reason: OfferReason) -> None:
    terms, body = some_terms(HEBEI, reason=reason), an_offer(HEBEI, reason=reason)
    assert terms.is_homeward(INNER) == is_homeward(INNER, body) == (reason in HOMEWARD_REASONS)
    assert not is_homeward(INNER, replace(body, target=SHIJIAZHUANG)), "home is the province"
    assert not is_homeward(OUTER, replace(body, target=OUTER.scope)), "nobody goes to the nation"
    assert not some_terms(SHIJIAZHUANG, reason=reason).is_homeward(INNER)


@pytest.mark.parametrize(
    ("chain", "must"),
    [
        (a_chain(refusals=2), True),
        (a_chain(refusals=1), False),
        (a_chain(refusals=2, case="case-1"), False),
        (a_chain(Holding.RELEASED, refusals=2), False),
    ],
)
def test_the_second_refusal_files_once_while_held(chain: Chain, must: bool) -> None:
    assert must_file(chain) == must
