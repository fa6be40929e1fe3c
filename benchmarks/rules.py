"""`lubiao bench rules`: one decision, against zen-engine's fastest path on the same rules.

Rules are synthetic (one seed): each selects one district, one matter, one type and two urgencies,
so that both engines compare the same four values. zen-engine gets them as a first-hit decision
table and is asked by key through a static loader, the fastest of its ways (`evaluate`); it looks at
the rules only. `decide` does more: it finds whose place it is, the unit, asks the guards of all
packs, and makes a digested trace. `select` is the part that the two have in common.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime

from benchmarks.rows import Row, median_row
from gateway.kernel.codes import TicketType, Urgency
from gateway.kernel.data import data_path
from gateway.kernel.ids import AuthorityCode
from gateway.kernel.time import day_of
from gateway.reference.data import ReferenceData
from gateway.reference.units import UnitRef
from gateway.routing.conditions import cel_conditions
from gateway.routing.evaluate import decide
from gateway.routing.model import Assign, Pack, RoutingFacts, Rule, Selectors
from gateway.routing.packs import PackSet

OWNER = AuthorityCode("130000")
SIZES = (10, 100, 1_000, 10_000)
SEED = 20261121
NOW = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)
COLUMNS = ("region", "matter", "type", "urgency")
CHECKED = 500  # tickets on which both engines must find the same rule
ZEN_BUDGET_SECONDS = 4.0  # a linear engine over 10,000 rules is slow: fewer tickets, same ones


async def measure(*, runs: int, tickets: int) -> list[Row]:
    """Return the rows of this benchmark."""
    reference = ReferenceData.load(data_path("routing_rules") / "reference")
    shipped = PackSet.load(
        data_path("routing_rules") / "packs",
        authorities=(),
        reference=reference,
        conditions=cel_conditions(),
    )
    rows: list[Row] = []
    for size in SIZES:
        chance = random.Random(SEED)  # noqa: S311 (synthetic rules)
        rules = _rules(size, reference, chance)
        facts = _tickets(tickets, rules, reference, chance)
        packs = PackSet([*shipped.of(["100000"]), _pack(rules)])
        rows += _rows_of(
            size=size, runs=runs, facts=facts, packs=packs, reference=reference, rules=rules
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [*rows, Row(name="rules.memory", value=round(memory, 1), unit="MiB max RSS")]


def _rows_of(
    *,
    size: int,
    runs: int,
    facts: Sequence[RoutingFacts],
    packs: PackSet,
    reference: ReferenceData,
    rules: Sequence[Rule],
) -> list[Row]:
    hosted = frozenset({"130000"})
    on = day_of(NOW)

    def deciding(each: RoutingFacts) -> None:
        decide(
            each,
            authority=OWNER,
            hosted=hosted,
            joined=hosted,
            packs=packs,
            reference=reference,
            now=NOW,
        )

    def selecting(each: RoutingFacts) -> None:
        packs.candidates(
            each,
            owners=("130000", "100000"),
            region_path=tuple(reference.regions.path(each.region)),
            on=on,
        )

    decided = [_microseconds(deciding, facts) for _ in range(runs)]
    selected = [_microseconds(selecting, facts) for _ in range(runs)]
    rows = [
        median_row(f"rules.{size}.decide", decided, "µs/decision"),
        median_row(f"rules.{size}.select", selected, "µs/ticket"),
    ]
    zen = _zen(rules)
    if zen is None:
        return [
            *rows,
            Row(
                name=f"rules.{size}.of_zen",
                value=None,
                unit="ratio",
                baseline="zen-engine evaluate, static loader",
                note="zen-engine is not installed: make dev",
            ),
        ]
    _check_agreement(zen, facts[:CHECKED], packs)
    few = _as_many_as_fit(zen, facts)
    peers = [_microseconds(zen, few) for _ in range(runs)]
    return [
        *rows,
        median_row(f"rules.{size}.zen", peers, "µs/ticket", note=f"{len(few)} tickets"),
        median_row(
            f"rules.{size}.of_zen",
            [peer / own for peer, own in zip(peers, decided, strict=True)],
            "times as fast",
            baseline="zen-engine evaluate, static loader",
        ),
        median_row(
            f"rules.{size}.select_of_zen",
            [peer / own for peer, own in zip(peers, selected, strict=True)],
            "times as fast",
            baseline="zen-engine evaluate, static loader",
        ),
    ]


def _microseconds(call: Callable[[RoutingFacts], object], facts: Sequence[RoutingFacts]) -> float:
    began = time.perf_counter()
    for each in facts:
        call(each)
    return (time.perf_counter() - began) / len(facts) * 1e6


def _as_many_as_fit(
    call: Callable[[RoutingFacts], object], facts: Sequence[RoutingFacts]
) -> Sequence[RoutingFacts]:
    few = facts[:20]
    each = _microseconds(call, few) / 1e6
    return facts[: max(20, min(len(facts), int(ZEN_BUDGET_SECONDS / each)))]


# --- the same rules for both ------------------------------------------------------------------


def _rules(size: int, reference: ReferenceData, chance: random.Random) -> list[Rule]:
    districts = sorted(
        code for code in _codes(reference) if code.startswith("13") and not code.endswith("00")
    )
    matters = sorted(matter.code for matter in reference.matters)
    kinds = ("CG", "GA", "JT", "SJ", "ZJ")
    rules = []
    for number in range(size):
        selectors = Selectors(
            regions=(chance.choice(districts),),
            matters=(chance.choice(matters),),
            types=frozenset({chance.choice(list(TicketType)[1:])}),
            urgencies=frozenset({Urgency.NORMAL, Urgency.URGENT}),
        )
        rules.append(
            Rule(
                id=f"bench.rule-{number}",
                owner="测试",
                legal_basis="测试",
                effective_from=date(2026, 1, 1),
                effective_to=None,
                selectors=selectors,
                action=Assign(UnitRef(kind=chance.choice(kinds))),
                explanation="测试",
            )
        )
    return rules


def _codes(reference: ReferenceData) -> list[str]:
    return [unit.region for unit in reference.units]


def _pack(rules: Sequence[Rule]) -> Pack:
    return Pack(
        pack="130000.bench",
        owner=OWNER,
        title="测试",
        version="0" * 64,
        source="",
        rules=tuple(rules),
        guards=(),
    )


def _tickets(
    count: int, rules: Sequence[Rule], reference: ReferenceData, chance: random.Random
) -> list[RoutingFacts]:
    """Return tickets of which half meet a rule in district, matter and type."""
    districts = sorted({code for code in _codes(reference) if code.startswith("13")})
    matters = sorted(matter.code for matter in reference.matters)
    found = []
    for _ in range(count):
        rule = chance.choice(rules)
        is_hit = chance.random() < 0.5  # noqa: PLR2004 (half of them)
        found.append(
            RoutingFacts(
                region=rule.selectors.regions[0] if is_hit else chance.choice(districts),
                matter=rule.selectors.matters[0] if is_hit else chance.choice(matters),
                type=int(next(iter(rule.selectors.types))),
                urgency=int(Urgency.NORMAL),
            )
        )
    return found


def _zen(rules: Sequence[Rule]) -> Callable[[RoutingFacts], str | None] | None:
    """Return zen-engine's fastest path over the same rules."""
    try:
        import zen  # noqa: PLC0415 (a peer that need not be installed)
    except ImportError:
        return None
    engine = zen.ZenEngine({"loader": {"type": "static", "content": {"rules": _table(rules)}}})

    def call(facts: RoutingFacts) -> str | None:
        values = {name: getattr(facts, name) for name in COLUMNS}
        found: str | None = engine.evaluate("rules", values)["result"].get("rule")
        return found

    return call


def _check_agreement(
    zen: Callable[[RoutingFacts], str | None],
    facts: Sequence[RoutingFacts],
    packs: PackSet,
) -> None:
    """Fail unless both engines find the same rule: else the figures compare nothing."""
    for each in facts:
        own = packs.candidates(each, owners=(OWNER,), region_path=(each.region,), on=day_of(NOW))
        exact = (
            found.rule
            for found in own
            if found.rule.selectors.regions == (each.region,)
            and found.rule.selectors.matters == (each.matter,)
        )
        first = next(exact, None)
        if zen(each) != (first.id if first else None):
            raise RuntimeError(f"the engines differ on {each}")


def _input(rule: Rule) -> dict[str, object]:
    return {
        "region": rule.selectors.regions[0],
        "matter": rule.selectors.matters[0],
        "type": int(next(iter(rule.selectors.types))),
        "urgency": int(Urgency.NORMAL),
    }


def _table(rules: Sequence[Rule]) -> dict[str, object]:
    cells = []
    for rule in rules:
        one = _input(rule)
        urgencies = ", ".join(str(int(each)) for each in sorted(rule.selectors.urgencies))
        cells.append(
            {
                "_id": rule.id,
                "region": f'"{one["region"]}"',
                "matter": f'"{one["matter"]}"',
                "type": str(one["type"]),
                "urgency": urgencies,
                "rule": f'"{rule.id}"',
            }
        )
    node = {
        "id": "table",
        "name": "table",
        "type": "decisionTableNode",
        "content": {
            "hitPolicy": "first",
            "inputs": [{"id": name, "name": name, "field": name} for name in COLUMNS],
            "outputs": [{"id": "rule", "name": "rule", "field": "rule"}],
            "rules": cells,
        },
    }
    return {
        "nodes": [
            {"id": "in", "name": "in", "type": "inputNode"},
            node,
            {"id": "out", "name": "out", "type": "outputNode"},
        ],
        "edges": [
            {"id": "a", "sourceId": "in", "targetId": "table", "type": "edge"},
            {"id": "b", "sourceId": "table", "targetId": "out", "type": "edge"},
        ],
    }
