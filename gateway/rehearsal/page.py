"""A trial's report as one HTML page: nothing is fetched, nothing runs, every value is escaped.

Chinese first, with the English of each heading small beside it. The page's own policy forbids
scripts and addresses, so even a value that got through escaping could do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gateway.kernel.time import SHANGHAI, Instant
from gateway.rehearsal.model import Balance, Destination, Flow, Report

ROWS_MAX = 500  # of each table; the JSON has more
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """
body{font:16px/1.6 "Noto Sans CJK SC","Microsoft YaHei","PingFang SC",sans-serif;margin:2em auto;
max-width:70em;padding:0 1em;color:#1d2733}
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em;border-bottom:2px solid #2b6cb0}
small{color:#5b6b7b;font-weight:normal}table{border-collapse:collapse;width:100%}
th,td{border:1px solid #cbd5e0;padding:.3em .6em;text-align:left;vertical-align:top}
th{background:#edf2f7}td.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{display:inline-block;height:.7em;background:#2b6cb0}.up{color:#22663b}.down{color:#9b2c2c}
code{font-size:.9em;color:#44546a}@media print{body{margin:0}}
"""


def page(report: Report) -> str:
    """Return the page of a report."""
    title = f"规则试运行：{report.draft}"
    parts = [
        "<!DOCTYPE html>",
        '<html lang="zh-CN"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)} <small>Rehearsal</small></h1>",
        _facts(report),
        _section("流向变化", "Flows", _flows(report)),
        _section("承办单位增减", "Destinations", _balances(report.balances, report)),
        _section("机构增减", "Authorities", _balances(report.authorities, report)),
        "<p><small>只含编码、数量和工单编号，不含诉求内容和个人信息。</small></p></body></html>",
    ]
    return "\n".join(parts) + "\n"


def shown(destination: Destination, report: Report) -> str:
    """Return a destination as people read it."""
    name = report.names.get(destination.target, "")
    target = f"{name}（{destination.target}）" if name else destination.target
    return f"{destination.action.zh} {target}".strip()


def _facts(report: Report) -> str:
    share = f"（{report.moved / report.examined:.1%}）" if report.examined else ""
    rows: list[tuple[str, str, str]] = [
        ("决定机构", "Authority", report.authority),
        ("草案", "Draft", report.draft),
        ("对照", "Compared with", report.baseline),
        ("规则按哪一天计", "Rules as of", report.on.isoformat()),
        ("工单时段", "Tickets", f"{_moment(report.first)} 至 {_moment(report.last)}"),
        ("重新派单的工单", "Examined", f"{report.examined:,}"),
        ("去向改变", "Moved", f"{report.moved:,}{share}"),
        ("去向不变，协办或知会改变", "Changed beside", f"{report.beside:,}"),
        ("去向不变，依据的规则改变", "By another rule", f"{report.by_another_rule:,}"),
    ]
    if report.missing:
        rows.append(("在途但无历史要素，未计入", "Without history", f"{report.missing:,}"))
    if report.is_cut:
        rows.append(("超过上限，只看了前面的部分", "Cut", "是"))
    body = "".join(
        f"<tr><th>{escape(zh)} <small>{escape(en)}</small></th><td>{escape(value)}</td></tr>"
        for zh, en, value in rows
    )
    return f"<table>{body}</table>"


def _flows(report: Report) -> str:
    most = max((flow.count for flow in report.flows), default=1)
    return _table(
        ("现去向", "新去向", "工单数", "规则（现 → 新）", "样例工单"),
        [
            (
                escape(shown(flow.before, report)),
                escape(shown(flow.after, report)),
                f'{flow.count:,} <span class="bar" style="width:{flow.count / most * 6:.2f}em">'
                "</span>",
                "<br>".join(_rules(flow)),
                "<br>".join(f"<code>{escape(number)}</code>" for number in flow.samples),
            )
            for flow in report.flows[:ROWS_MAX]
        ],
    )


def _rules(flow: Flow) -> Iterable[str]:
    most = sorted(flow.rules.items(), key=lambda item: (-item[1], item[0]))
    for (before, after), count in most[:5]:
        yield f"<code>{escape(before)}</code> → <code>{escape(after)}</code>（{count:,}）"


def _balances(balances: Sequence[Balance], report: Report) -> str:
    return _table(
        ("去向", "现数量", "新数量", "转入", "转出", "净增减"),
        [
            (
                escape(report.names.get(each.target, "") or each.target)
                + f" <code>{escape(each.target)}</code>",
                f"{each.before:,}",
                f"{each.after:,}",
                f'<span class="up">+{each.gained:,}</span>',
                f'<span class="down">−{each.lost:,}</span>',
                f"{each.after - each.before:+,}",
            )
            for each in balances[:ROWS_MAX]
        ],
    )


def _section(zh: str, en: str, body: str) -> str:
    return f"<h2>{escape(zh)} <small>{escape(en)}</small></h2>{body}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; cells are HTML already, in the header nothing needs escaping."""
    if not rows:
        return "<p>无变化。</p>"
    head = "".join(f"<th>{escape(each)}</th>" for each in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _moment(moment: Instant | None) -> str:
    return moment.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M") if moment else "—"
