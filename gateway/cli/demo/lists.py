"""The submitters' own lists and the expectations, as files on disk say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gateway.cli.demo.judge import Expectation, Facts, Submitted
from gateway.cli.demo.topology import Topology

EXPECTATIONS = Path(__file__).with_name("expectations.yaml")
JOURNAL = Path("state") / "journal.jsonl"  # below an adapter's folder (docs/adapters.md)
WEIGHT = 10  # of a case that names none
VARIES = frozenset({"unit"})  # what a variation of a case may always have otherwise


@dataclass(frozen=True, slots=True)
class Programme:
    """What is handed in, and how it must end: the cases, and so many variations of each."""

    cases: tuple[Expectation, ...] = ()
    shares: Mapping[str, int] = field(default_factory=dict)
    varied: tuple[Expectation, ...] = ()

    @classmethod
    def of(cls, topology: Topology, *, tickets: int) -> Programme:
        """Return `tickets` messages in all, or every case once if that is more."""
        cases = within(read_expectations(), topology)
        shares = share_out(cases, tickets - len(cases))
        return cls(tuple(cases), shares, tuple(variations(cases, shares)))


def read_expectations(path: Path = EXPECTATIONS) -> list[Expectation]:
    """Return how the cases must end."""
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [
        Expectation(
            id=int(case["id"]),
            platform=str(case["platform"]),
            external_id=str(case["external_id"]),
            expected=case["expected"],
            weight=int(case.get("weight", WEIGHT)),
            varied=_varied(case["expected"], case.get("varied", {})),
            after_rule=bool(case.get("after_rule", False)),
        )
        for case in raw["cases"]
    ]


def within(expectations: Sequence[Expectation], topology: Topology) -> list[Expectation]:
    """Return the cases whose authorities all take part."""
    present = set(topology.authorities)
    return [item for item in expectations if _authorities(item.expected) <= present]


def share_out(expectations: Sequence[Expectation], count: int) -> dict[str, int]:
    """Return how many variations of each case there are, by external id, `count` in all."""
    whole = sum(item.weight for item in expectations)
    if count <= 0 or not whole:
        return {item.external_id: 0 for item in expectations}
    shares = {item.external_id: count * item.weight // whole for item in expectations}
    rest = count - sum(shares.values())
    weighed = [item for item in expectations if item.weight]
    for item in weighed[:rest]:  # fewer than there are cases
        shares[item.external_id] += 1
    return shares


def variations(expectations: Sequence[Expectation], shares: Mapping[str, int]) -> list[Expectation]:
    """Return how the variations must end; their numbers are those that the platforms give."""
    return [
        Expectation(
            id=item.id,
            platform=item.platform,
            external_id=f"{item.external_id}-V{number:06d}",
            expected=item.varied,
        )
        for item in expectations
        for number in range(1, shares.get(item.external_id, 0) + 1)
    ]


def read_submitted(folder: Path, *, platform: str, authority: str) -> Submitted:
    """Return the list that the adapter of a folder keeps; a line in the making does not count."""
    path = folder / JOURNAL
    sent: set[str] = set()
    acknowledged: dict[str, str] = {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        entry = json.loads(line)
        external_id = str(entry["external_id"])
        if entry["kind"] == "submitted":
            sent.add(external_id)
        elif entry["kind"] == "acknowledged":
            acknowledged[external_id] = str(entry["number"])
    return Submitted(
        platform=platform,
        authority=authority,
        sent=frozenset(sent),
        acknowledged=acknowledged,
    )


def _varied(expected: Facts, otherwise: Facts) -> Facts:
    return {key: value for key, value in expected.items() if key not in VARIES} | dict(otherwise)


def _authorities(expected: Facts) -> set[str]:
    custodians = expected.get("custodians", [])
    children = expected.get("children", [])
    assert isinstance(custodians, list)
    assert isinstance(children, list)
    return {*custodians, *(child[0] for child in children)}
