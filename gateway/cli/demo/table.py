"""The live table: where each ticket is, who holds it, which rule sent it there, what is late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from gateway.cli.demo.judge import Copy, custodian_copy, longest_path

ROWS_MAX = 40  # a screen; the summary counts all
STATES = {
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
    copies: Sequence[Copy], *, cases: Mapping[str, int], names: Mapping[str, str]
) -> Table:
    """Return the table of all tickets.

    Args:
        copies: every copy at every authority.
        cases: case number by external id.
        names: what an authority or node is called.
    """
    table = Table(title="路标 · 工单在哪里", expand=True)
    for column in (
        "工单",
        "案例",
        "现在在哪 / 保管机构",
        "承办单位",
        "派单规则",
        "状态",
        "是否超期",
    ):
        table.add_column(column, overflow="fold", no_wrap=column == "工单")
    by_number: dict[str, list[Copy]] = {}
    for copy in copies:
        by_number.setdefault(copy.number, []).append(copy)
    for number in sorted(by_number, key=lambda key: _order(by_number[key], cases))[:ROWS_MAX]:
        table.add_row(*_cells(number, by_number[number], cases, names))
    return table


def _order(copies: Sequence[Copy], cases: Mapping[str, int]) -> tuple[int, str]:
    case = next((cases[c.external_id] for c in copies if c.external_id in cases), 10**6)
    return (case, copies[0].number)


def _cells(
    number: str, copies: Sequence[Copy], cases: Mapping[str, int], names: Mapping[str, str]
) -> tuple[str, ...]:
    held = custodian_copy(copies)
    case = next((str(cases[c.external_id]) for c in copies if c.external_id in cases), "")
    if held is None:
        return (number, case, "移交途中", "", "", "", "")
    path = longest_path(copies) or (held.authority,)
    where = " → ".join(names.get(code, code) for code in path)
    target = held.unit_name or held.line or held.referred_to or ("研判席" if held.action else "")
    state = "争议中" if held.case else STATES.get(held.state, held.state)
    late = any(copy.is_overdue for copy in copies)
    return (
        number,
        case,
        f"{names.get(held.node, held.node)}: {where}",
        target,
        held.rule,
        state,
        "[red]超期[/red]" if late else "否",
    )
