"""The summary of a demonstration: as JSON for machines, as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.cli.demo.judge import Place, Verdict


def summary(
    verdict: Verdict, *, seconds: float, nodes: Sequence[Mapping[str, object]]
) -> dict[str, object]:
    """Return the summary with exactly the agreed keys."""
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
            }
            for case in verdict.cases
        ],
        "nodes": [dict(node) for node in nodes],
    }


def text_lines(verdict: Verdict, *, seconds: float) -> list[str]:
    """Return the summary in words."""
    count = {place.value: verdict.places.get(place, 0) for place in Place}
    lines = [
        f"{verdict.tickets} 件工单，{verdict.children} 件子单，用时 {seconds:.1f} 秒",
        f"办结 {count['completed']} · 即时转接 {count['referred']} · 并单 {count['merged']} · "
        f"撤回 {count['withdrawn']} · 研判中 {count['in_triage']} · 争议中 {count['in_case']}",
        f"丢失 {len(verdict.lost)} · 重复 {len(verdict.duplicated)}",
    ]
    for case in verdict.cases:
        lines.append(f"案例 {case.id:>2}: {'符合' if case.is_ok else '不符合'}")
        if not case.is_ok:
            lines.append(f"    应为 {dict(case.expected)}")
            lines.append(f"    实际 {dict(case.got)}")
    if not verdict.is_settled:
        unsettled = count["unsettled"]
        lines.append(
            f"未了结 {unsettled} · 未确认 {len(verdict.unacknowledged)} · "
            f"各方不一致 {len(verdict.disagreeing)}"
        )
    return lines
