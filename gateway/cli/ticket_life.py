"""The text form of `lubiao ticket show`, behind its first lines: what happened to the ticket.

Texts in a citizen's words (questions, answers, sheets, names of files) are printed only when the
reader stated a purpose; without one a person sees that they exist, by their number and time.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.cli.output import beijing, pick, print_fields, print_line, print_table
from gateway.kernel.codes import (
    CitizenActKind,
    Code,
    ErrorReason,
    ExtensionReason,
    ExtensionState,
    ReturnReason,
    ReturnState,
    TicketPurpose,
    TicketState,
    UnitRequestState,
)
from hotline.ticket.v1 import ticket_pb2


def print_life(ticket: ticket_pb2.Ticket, *, with_texts: bool) -> None:
    """Print what a ticket is part of and what happened to it; nothing for what is empty."""
    print_fields(_links(ticket))
    _print_children(ticket)
    _print_returns(ticket)
    _print_requests(ticket)
    _print_extensions(ticket)
    _print_questions(ticket, with_texts=with_texts)
    _print_acts(ticket, with_texts=with_texts)
    _print_attachments(ticket, with_texts=with_texts)
    _print_referral(ticket.external_referral, with_texts=with_texts)


def refusal_text(token: str) -> str:
    """Return why an act was refused, as people read it, with the token of the standard."""
    if token not in ErrorReason.__members__:
        return token
    return pick(f"{ErrorReason[token].zh} [{token}]", token)


def advice(token: str) -> str:
    """Return in one sentence what to do about a refused act."""
    match token:
        case "TRANSITION_NOT_ALLOWED":
            return pick(
                "工单当前状态不能这样处理：请用 lubiao ticket show 查看状态，"
                "已办待评的可要求重办（reopen），已终结的请另行提交新工单。",
                "The ticket's state does not allow it: look with lubiao ticket show, reopen a"
                " resolved ticket, or hand in a new one if this one is final.",
            )
        case "CASE_PENDING":
            return pick(
                "请等争议裁定后再试（lubiao case show）。",
                "Wait for the ruling and try again (lubiao case show).",
            )
        case _:
            return pick(
                "请用 lubiao ticket show --events 查看工单现状，再与现保管机构联系。",
                "Look with lubiao ticket show --events, then ask the present custodian.",
            )


def _links(ticket: ticket_pb2.Ticket) -> dict[str, object]:
    parent = ticket.parent.removeprefix("tickets/")
    return {
        pick("争议", "case"): ticket.custody.case.removeprefix("cases/"),
        pick("父单", "parent"): (
            f"{parent} {_word(TicketPurpose(ticket.purpose))}" if parent else ""
        ),
    }


def _print_children(ticket: ticket_pb2.Ticket) -> None:
    _section(
        pick("子单", "children"),
        (
            pick("编号", "number"),
            pick("用途", "purpose"),
            pick("状态", "state"),
            pick("保管方", "custodian"),
        ),
        [
            (
                each.name.removeprefix("tickets/"),
                _word(TicketPurpose(each.purpose)),
                _word(TicketState(each.state)),
                each.custodian,
            )
            for each in ticket.children
        ],
    )


def _print_returns(ticket: ticket_pb2.Ticket) -> None:
    _section(
        pick("退单", "returns"),
        (
            "#",
            pick("单位", "unit"),
            pick("建议承办", "proposed"),
            pick("理由", "reason"),
            pick("状态", "state"),
            pick("申请时间", "filed"),
            pick("复核时限", "review due"),
        ),
        [
            (
                each.number,
                each.unit,
                each.proposed_owner,
                _word(ReturnReason(each.reason)),
                _word(ReturnState(each.state)),
                beijing(each.file_time),
                beijing(each.review_due_time),
            )
            for each in ticket.returns
        ],
    )


def _print_requests(ticket: ticket_pb2.Ticket) -> None:
    _section(
        pick("商请", "requests"),
        (
            "#",
            pick("商请单位", "unit"),
            pick("答复方", "asked"),
            pick("责任单位", "bound"),
            pick("状态", "state"),
            pick("商请时间", "asked at"),
            pick("答复时限", "due"),
        ),
        [
            (
                each.number,
                each.unit,
                each.asked,
                each.bound_unit,
                _word(UnitRequestState(each.state)),
                beijing(each.ask_time),
                beijing(each.due_time),
            )
            for each in ticket.unit_requests
        ],
    )


def _print_extensions(ticket: ticket_pb2.Ticket) -> None:
    _section(
        pick("延期", "extensions"),
        (
            "#",
            pick("单位", "unit"),
            pick("理由", "reason"),
            pick("状态", "state"),
            pick("申请时限", "new due"),
            pick("申请时间", "asked"),
        ),
        [
            (
                each.number,
                each.unit,
                _word(ExtensionReason(each.reason)),
                _word(ExtensionState(each.state)),
                beijing(each.new_due_time),
                beijing(each.ask_time),
            )
            for each in ticket.extensions
        ],
    )


def _print_questions(ticket: ticket_pb2.Ticket, *, with_texts: bool) -> None:
    texts = (pick("问题", "question"), pick("答复", "answer")) if with_texts else ()
    _section(
        pick("询问", "questions"),
        (
            "#",
            pick("询问机构", "asker"),
            pick("询问时间", "asked"),
            pick("答复时间", "answered"),
            *texts,
        ),
        [
            (
                each.number,
                each.asker,
                beijing(each.ask_time),
                beijing(each.answer_time),
                *((_plain(each.question), _plain(each.answer)) if with_texts else ()),
            )
            for each in ticket.information_requests
        ],
    )


def _print_acts(ticket: ticket_pb2.Ticket, *, with_texts: bool) -> None:
    _section(
        pick("诉求人行为", "acts of the citizen"),
        (
            "#",
            pick("行为", "act"),
            pick("时间", "time"),
            pick("结果", "outcome"),
            *((pick("内容", "text"),) if with_texts else ()),
        ),
        [
            (
                each.number,
                _word(CitizenActKind(each.kind)),
                beijing(each.act_time),
                outcome(each),
                *((_plain(each.text),) if with_texts else ()),
            )
            for each in ticket.citizen_acts
        ],
    )


def outcome(act: ticket_pb2.CitizenAct) -> str:
    """Return what became of an act of the citizen."""
    if act.refusal:
        return refusal_text(act.refusal)
    return pick("已处理", "done") if act.applied else pick("已转交", "sent on")


def _print_attachments(ticket: ticket_pb2.Ticket, *, with_texts: bool) -> None:
    # Lines, not a table: a digest must never be shortened, `ticket fetch` takes all of it.
    for index, each in enumerate(ticket.content.attachments, start=1):
        here = pick("已到", "here") if each.available else pick("未到", "not here yet")
        size = pick(f"{each.size} 字节", f"{each.size} bytes")
        words = [each.digest.value.hex(), each.media_type, size, here]
        if with_texts:
            words.append(_plain(each.file_name))
        print_fields({f"{pick('附件', 'attachment')} {index}": " ".join(words).rstrip()})


def _print_referral(referral: ticket_pb2.ExternalReferral, *, with_texts: bool) -> None:
    print_fields(
        {
            pick("转往", "referred to"): f"{referral.region} {referral.region_name}".strip(),
            pick("转出时间", "referred"): beijing(referral.refer_time),
            pick("对方答复时间", "answered"): beijing(referral.answer_time),
        }
    )
    if not with_texts:
        return
    for name, text in (
        (pick("转办单", "sheet"), referral.sheet),
        (pick("对方答复", "answer"), referral.answer),
    ):
        if text:
            print_line(f"{name}:\n{_plain(text)}")


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        print_line(f"{title}:")
        print_table(columns, rows)


def _plain(text: str) -> str:
    """Return a stranger's text without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def _word(code: Code) -> str:
    return pick(code.zh, code.name)
