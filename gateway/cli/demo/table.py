"""The live table: where each ticket is, who holds it, which rule sent it there, what is late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from gateway.cli.demo.disputes import CaseFile, short
from gateway.cli.demo.judge import Copy, custodian_copy, longest_path
from gateway.cli.output import pick

ROWS_MAX = 40  # a screen; the summary counts all
STATES = {  # in Chinese; in English they are called as in the standard
    "RECEIVED": "已受理",
    "DISPATCHED": "已派单",
    "HANDLING": "办理中",
    "RESOLVED": "已办待评",
    "REOPENED": "重办",
    "CLOSED": "办结",
    "MERGED": "并单",
    "REFERRED": "即时转接",
    "WITHDRAWN": "撤回",
}


def live_table(
    copies: Sequence[Copy],
    *,
    cases: Mapping[str, int],
    names: Mapping[str, str],
    disputes: Mapping[str, CaseFile] | None = None,
) -> Table:
    """Return the table of all tickets.

    Args:
        copies: every copy at every authority.
        cases: case number by external id.
        names: what an authority, a node or a unit is called.
        disputes: by ticket.
    """
    by_number: dict[str, list[Copy]] = {}
    for copy in copies:
        by_number.setdefault(copy.number, []).append(copy)
    table = Table(title=_title(len(by_number)), expand=True)
    for index, column in enumerate(
        (
            pick("工单", "ticket"),
            pick("案例", "case"),
            pick("现在在哪 / 保管机构", "node: who held it"),
            pick("承办单位", "unit"),
            pick("派单规则", "rule"),
            pick("状态", "state"),
            pick("是否超期", "late"),
            pick("争议", "dispute"),
        )
    ):
        table.add_column(column, overflow="fold", no_wrap=index == 0)
    for number in sorted(by_number, key=lambda key: _order(by_number[key], cases))[:ROWS_MAX]:
        file = (disputes or {}).get(number)
        told = short(file, names) if file is not None else ""
        table.add_row(*_cells(number, by_number[number], cases, names), told)
    return table


def _title(count: int) -> str:
    title = pick("路标 · 工单在哪里", "Lubiao · where the tickets are")
    if count <= ROWS_MAX:
        return title
    return title + pick(f"（{count} 件中的 {ROWS_MAX} 件）", f" ({ROWS_MAX} of {count})")


def _order(copies: Sequence[Copy], cases: Mapping[str, int]) -> tuple[int, str]:
    case = next((cases[c.external_id] for c in copies if c.external_id in cases), 10**6)
    return (case, copies[0].number)


def _cells(
    number: str, copies: Sequence[Copy], cases: Mapping[str, int], names: Mapping[str, str]
) -> tuple[str, ...]:
    held = custodian_copy(copies)
    case = next((str(cases[c.external_id]) for c in copies if c.external_id in cases), "")
    if held is None:
        return (number, case, pick("移交途中", "on its way"), "", "", "", "")
    path = longest_path(copies) or (held.authority,)
    where = " → ".join(names.get(code, code) for code in path)
    target = (
        held.unit_name
        or held.line
        or held.referred_to
        or (pick("研判席", "desk") if held.action else "")
    )
    state = pick(STATES.get(held.state, held.state), held.state)
    if held.case:
        state = pick("争议中", "IN_CASE")
    late = any(copy.is_overdue for copy in copies)
    return (
        number,
        case,
        f"{names.get(held.node, held.node)}: {where}",
        target,
        held.rule,
        state,
        f"[red]{pick('超期', 'late')}[/red]" if late else pick("否", "no"),
    )
