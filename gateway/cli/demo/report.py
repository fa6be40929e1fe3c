"""The summary of a demonstration: as JSON for machines, as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.cli.demo import proposed
from gateway.cli.demo.disputes import told
from gateway.cli.demo.judge import Place, Verdict
from gateway.cli.output import pick


def summary(
    verdict: Verdict,
    *,
    seconds: float,
    nodes: Sequence[Mapping[str, object]],
    hub: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Return the summary with exactly the agreed keys; `hub` is what reached the nation's hub."""
    known = dict(names or {}) | dict(verdict.named)
    count = {place.value: verdict.places.get(place, 0) for place in Place}
    return {
        "tickets": verdict.tickets,
        "children": verdict.children,
        "completed": count["completed"],
        "referred": count["referred"],
        "merged": count["merged"],
        "withdrawn": count["withdrawn"],
        "in_triage": count["in_triage"],
        "in_case": count["in_case"],
        "lost": len(verdict.lost),
        "duplicated": len(verdict.duplicated),
        "seconds": round(seconds, 1),
        "cases": [
            {
                "id": case.id,
                "expected": dict(case.expected),
                "got": dict(case.got),
                "ok": case.is_ok,
                "dispute": told(case.dispute, known) if case.dispute else [],
            }
            for case in verdict.cases
        ],
        "rules": [proposed.body(rule) for rule in verdict.proposed],
        "nodes": [dict(node) for node in nodes],
        "variations": {
            "count": verdict.variations.count,
            "as_expected": verdict.variations.as_expected,
            "waiting": dict(verdict.variations.waiting),
            "otherwise": dict(verdict.variations.otherwise),
        },
        "hub": dict(hub) if hub is not None else None,
    }


def text_lines(
    verdict: Verdict,
    *,
    seconds: float,
    hub: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the summary in words; `names`: what authorities are called."""
    known = dict(names or {}) | dict(verdict.named)
    count = {place.value: verdict.places.get(place, 0) for place in Place}
    lines = [
        pick(
            f"{verdict.tickets} 件工单，{verdict.children} 件子单，用时 {seconds:.1f} 秒",
            f"{verdict.tickets} tickets, {verdict.children} children, {seconds:.1f} seconds",
        ),
        pick(
            f"办结 {count['completed']} · 即时转接 {count['referred']} · 并单 {count['merged']} · "
            f"撤回 {count['withdrawn']} · 研判中 {count['in_triage']} · 争议中 {count['in_case']}",
            f"completed {count['completed']} · referred {count['referred']} · "
            f"merged {count['merged']} · withdrawn {count['withdrawn']} · "
            f"in triage {count['in_triage']} · in a case {count['in_case']}",
        ),
        pick(
            f"丢失 {len(verdict.lost)} · 重复 {len(verdict.duplicated)}",
            f"lost {len(verdict.lost)} · duplicated {len(verdict.duplicated)}",
        ),
    ]
    failed = (
        pick("不符合", "not as expected")
        if verdict.is_settled
        else pick("尚未如预期结束", "has not ended as expected yet")
    )
    for case in verdict.cases:
        word = pick("符合", "as expected") if case.is_ok else failed
        lines.append(f"{pick('案例', 'case')} {case.id:>2}: {word}")
        if case.dispute is not None:
            lines += [f"    {line}" for line in told(case.dispute, known)]
        if not case.is_ok:
            lines.append(f"    {pick('应为', 'expected')} {dict(case.expected)}")
            lines.append(f"    {pick('实际', 'got')} {dict(case.got)}")
    for rule in verdict.proposed:
        lines += proposed.told(rule)
    lines += _variation_lines(verdict)
    if hub is not None:
        lines.append(hub_line(hub))
    if not verdict.is_settled:
        unsettled = count["unsettled"]
        unacknowledged, disagreeing = len(verdict.unacknowledged), len(verdict.disagreeing)
        lines.append(
            pick(
                f"未了结 {unsettled} · 未确认 {unacknowledged} · 各方不一致 {disagreeing}",
                f"unsettled {unsettled} · unacknowledged {unacknowledged} · "
                f"seen differently {disagreeing}",
            )
        )
    return lines


def hub_line(hub: Mapping[str, object]) -> str:
    """Return what reached the nation's hub, in a line."""
    cells, released = hub.get("cells", 0), hub.get("released", 0)
    return pick(
        f"国家枢纽收到 {hub.get('provinces', 0)} 个省的 {cells} 个汇总格，其中 {released} 个公布",
        f"the hub got {cells} cells of {hub.get('provinces', 0)} provinces, {released} released",
    )


def _variation_lines(verdict: Verdict) -> list[str]:
    found = verdict.variations
    if not found.count:
        return []
    lines = [
        pick(
            f"变化件 {found.count} 件，{found.as_expected} 件如其案例结束",
            f"{found.count} variations, {found.as_expected} ended as their case does",
        )
    ]
    for reason, count in sorted({**found.waiting, **found.otherwise}.items()):
        lines.append(f"    {count} × {pick('案例', 'case')} {reason}")
    return lines
