"""jsonb ↔ values of a ticket's life: returns, requests, extensions, questions, citizens' acts.

Instants are microseconds since the epoch. A code that a newer peer told and this version does not
know reads as UNSPECIFIED.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from gateway.kernel.codes import (
    CitizenActKind,
    Code,
    ExtensionReason,
    ExtensionState,
    ReturnReason,
    ReturnState,
    UnitRequestState,
)
from gateway.kernel.time import Instant, from_microseconds, to_microseconds
from gateway.tickets.model import CitizenAct, Extension, Question, Return, UnitRequest

AnyCode = TypeVar("AnyCode", bound=Code)
Plain = Mapping[str, Any]


def known_code(table: type[AnyCode], number: int) -> AnyCode:
    """Return the member of a code table; UNSPECIFIED for a number of a newer version."""
    try:
        return table(number)
    except ValueError:
        return table(0)


def return_plain(item: Return) -> Plain:
    """Return a return as it is stored."""
    return {
        "number": item.number,
        "assignment": item.assignment,
        "unit": item.unit,
        "state": int(item.state),
        "reason": int(item.reason),
        "clause": item.clause,
        "proposed_owner": item.proposed_owner,
        "file_time": to_microseconds(item.file_time),
        "review_due_time": to_microseconds(item.review_due_time),
        "review_time": _micro(item.review_time),
        "review_basis": item.review_basis,
        "filer": item.filer,
        "stand_by_time": _micro(item.stand_by_time),
        "counter_proposal": item.counter_proposal,
        "question": item.question,
        "answer": item.answer,
        "answer_time": _micro(item.answer_time),
        "judges": list(item.judges),
    }


def return_of(plain: Plain) -> Return:
    """Return the return of its stored form."""
    return Return(
        number=plain["number"],
        assignment=plain["assignment"],
        unit=plain["unit"],
        state=known_code(ReturnState, plain["state"]),
        reason=known_code(ReturnReason, plain["reason"]),
        clause=plain["clause"],
        proposed_owner=plain["proposed_owner"],
        file_time=from_microseconds(plain["file_time"]),
        review_due_time=from_microseconds(plain["review_due_time"]),
        review_time=_instant(plain["review_time"]),
        review_basis=plain["review_basis"],
        filer=plain.get("filer", ""),
        stand_by_time=_instant(plain.get("stand_by_time")),
        counter_proposal=plain.get("counter_proposal", ""),
        question=plain.get("question", ""),
        answer=plain.get("answer", ""),
        answer_time=_instant(plain.get("answer_time")),
        judges=tuple(plain.get("judges", ())),
    )


def request_plain(item: UnitRequest) -> Plain:
    """Return a request to a vertically managed body as it is stored."""
    return {
        "number": item.number,
        "unit": item.unit,
        "asked": item.asked,
        "state": int(item.state),
        "bound": item.bound,
        "bound_unit": item.bound_unit,
        "filer": item.filer,
        "ask_time": to_microseconds(item.ask_time),
        "due_time": to_microseconds(item.due_time),
        "case": item.case,
        "ruling": item.ruling,
        "return_number": item.return_number,
        "answer_time": _micro(item.answer_time),
        "reason": int(item.reason),
        "clause": item.clause,
    }


def request_of(plain: Plain) -> UnitRequest:
    """Return the request of its stored form."""
    return UnitRequest(
        number=plain["number"],
        unit=plain["unit"],
        asked=plain["asked"],
        state=known_code(UnitRequestState, plain["state"]),
        bound=plain["bound"],
        bound_unit=plain["bound_unit"],
        filer=plain["filer"],
        ask_time=from_microseconds(plain["ask_time"]),
        due_time=from_microseconds(plain["due_time"]),
        case=plain["case"],
        ruling=plain["ruling"],
        return_number=plain["return_number"],
        answer_time=_instant(plain["answer_time"]),
        reason=known_code(ReturnReason, plain["reason"]),
        clause=plain["clause"],
    )


def extension_plain(item: Extension) -> Plain:
    """Return an extension as it is stored."""
    return {
        "number": item.number,
        "unit": item.unit,
        "state": int(item.state),
        "reason": int(item.reason),
        "new_due_time": to_microseconds(item.new_due_time),
        "ask_time": to_microseconds(item.ask_time),
        "review_time": _micro(item.review_time),
        "citizen_told": item.citizen_told,
        "filer": item.filer,
    }


def extension_of(plain: Plain) -> Extension:
    """Return the extension of its stored form."""
    return Extension(
        number=plain["number"],
        unit=plain["unit"],
        state=known_code(ExtensionState, plain["state"]),
        reason=known_code(ExtensionReason, plain["reason"]),
        new_due_time=from_microseconds(plain["new_due_time"]),
        ask_time=from_microseconds(plain["ask_time"]),
        review_time=_instant(plain["review_time"]),
        citizen_told=plain["citizen_told"],
        filer=plain.get("filer", ""),
    )


def question_plain(item: Question) -> Plain:
    """Return a question as it is stored, without its texts."""
    return {
        "number": item.number,
        "asker": item.asker,
        "ask_time": to_microseconds(item.ask_time),
        "answer_time": _micro(item.answer_time),
    }


def question_of(plain: Plain) -> Question:
    """Return the question of its stored form."""
    return Question(
        number=plain["number"],
        asker=plain["asker"],
        ask_time=from_microseconds(plain["ask_time"]),
        answer_time=_instant(plain["answer_time"]),
    )


def act_plain(item: CitizenAct) -> Plain:
    """Return a citizen's act as it is stored, without its text."""
    return {
        "number": item.number,
        "kind": int(item.kind),
        "act_time": to_microseconds(item.act_time),
        "applied": item.applied,
        "refusal": item.refusal,
    }


def act_of(plain: Plain) -> CitizenAct:
    """Return the citizen's act of its stored form."""
    return CitizenAct(
        number=plain["number"],
        kind=known_code(CitizenActKind, plain["kind"]),
        act_time=from_microseconds(plain["act_time"]),
        applied=plain["applied"],
        refusal=plain["refusal"],
    )


def _micro(moment: Instant | None) -> int | None:
    return to_microseconds(moment) if moment is not None else None


def _instant(value: int | None) -> Instant | None:
    return from_microseconds(value) if value is not None else None
