"""The bytes that a trace digest is taken over have one form."""

from __future__ import annotations

import json

from gateway.reference.data import ReferenceData
from gateway.routing.evaluate import decide
from gateway.routing.packs import PackSet
from gateway.routing.trace import canonical_bytes, trace_digest
from tests.unit.routing.builders import NOW, a_ticket


def test_the_bytes_are_json_with_sorted_keys_and_no_spaces(
    packs: PackSet, reference: ReferenceData
) -> None:
    facts = a_ticket()
    hosted = frozenset({"131000"})
    decision = decide(
        facts,
        authority="131000",
        hosted=hosted,
        joined=hosted,
        packs=packs,
        reference=reference,
        now=NOW,
    )
    owners = packs.owners(authority="131000", hosted=hosted, regions=reference.regions)

    content = canonical_bytes(
        decision, facts=facts, authority="131000", packs=packs.of(owners), now=NOW
    )

    sorted_again = json.dumps(
        json.loads(content), ensure_ascii=False, sort_keys=True, separators=(",", ":")
    )
    assert content == sorted_again.encode()
    assert trace_digest(content) == decision.trace_digest
