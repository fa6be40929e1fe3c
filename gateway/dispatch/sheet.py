"""The hand-over sheet of an external referral: printable, Chinese, with as little as it needs.

It names the ticket, the matter and what the citizen said, and never who calls: the destination asks
the receiving authority when it has to reach the citizen.
"""

from __future__ import annotations

from gateway.kernel.codes import TicketType, Urgency
from gateway.kernel.time import SHANGHAI, Instant
from gateway.kernel.values import dataclass
from gateway.tickets.model import Ticket

WIDTH = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFacts:
    """What the sheet says beyond the ticket's codes."""

    destination: str
    authority_name: str
    matter_name: str
    region_name: str
    title: str
    content: str
    expectation: str
    address: str
    parties: tuple[str, ...]


def sheet_text(ticket: Ticket, facts: SheetFacts, *, now: Instant) -> str:
    """Return the sheet as plain text."""
    kind = TicketType(ticket.type).zh
    lines = [
        "12345热线诉求外部移交单".center(WIDTH),
        "=" * WIDTH,
        f"移交对象：{facts.destination}",
        f"移交机构：{facts.authority_name}12345热线（{ticket.authority}）",
        f"移交时间：{_shown(now)}",
        f"工单编号：{ticket.number}",
        f"受理时间：{_shown(ticket.received_time)}",
        f"诉求类型：{kind}    紧急程度：{Urgency(ticket.urgency).zh}",
        f"诉求事项：{facts.matter_name}（{ticket.matter}）",
        f"事发地：{facts.region_name}{facts.address}",
        f"被反映主体：{'、'.join(facts.parties) or '无'}",
        "-" * WIDTH,
        f"诉求标题：{facts.title}",
        f"诉求内容：{facts.content}",
        f"期望解决方式：{facts.expectation or '未说明'}",
        "-" * WIDTH,
        f"办理时限：{_shown(ticket.due_time)}前请答复移交机构",
        "诉求人身份与联系方式不随单移交；确需联系的，请与移交机构联系。",
    ]
    return "\n".join(lines)


def _shown(moment: Instant) -> str:
    return f"{moment.astimezone(SHANGHAI):%Y-%m-%d %H:%M}"
