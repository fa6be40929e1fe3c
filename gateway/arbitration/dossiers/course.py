"""Whether the record of a case tells a course that the machine allows (step 5 of the verifier)."""

from __future__ import annotations

from gateway.arbitration.dossiers.model import CaseBroken, CaseCheck, CaseFlaw, CasePassed
from gateway.arbitration.model import Case, CaseRuling, Entry, is_unit
from gateway.evidence.verdict import Text
from gateway.kernel.codes import CaseEntryKind, CaseLevel, CaseState
from gateway.kernel.errors import PeerNotAllowed
from gateway.trust.principal import Principal

_DECIDED = frozenset({CaseState.RULED, CaseState.OBJECTED})
_UNDECIDED = frozenset({CaseState.FILED, CaseState.REVIEW, CaseState.CONFERENCE})
_OF_PANEL = frozenset({CaseEntryKind.MINUTES, CaseEntryKind.ANSWER})


def check_course(case: Case, *, where: str) -> CasePassed:
    """Check numbers, states and who spoke.

    Raises:
        CaseBroken: no case could have come to this.
    """
    if [item.number for item in case.entries] != list(range(1, len(case.entries) + 1)):
        raise _broken(where, "记录序号不相接", "entries are not numbered from 1 without a gap")
    numbers = [item.number for item in case.rulings]
    if numbers != sorted(set(numbers)) or any(number < 1 for number in numbers):
        raise _broken(where, "裁定序号不递增", "rulings are not in the order of their numbers")
    proper = case.ruling_proper
    if case.state in _DECIDED and proper is None:
        raise _broken(where, "无裁定而称已裁定", "ruled, and without a ruling", case.state.name)
    if case.state in _UNDECIDED and proper is not None and not _is_back(case, proper):
        raise _broken(where, "有裁定而称未裁定", "not ruled, and with a ruling", case.state.name)
    if case.state is CaseState.CLOSED and proper is None:
        raise _broken(where, "无裁定而称已结案", "closed, and without a ruling", case.state.name)
    if (case.closed is None) is (case.state in {CaseState.CLOSED, CaseState.WITHDRAWN}):
        raise _broken(where, "结案时间与状态不符", "a closing time that does not fit the state")
    for entry in case.entries:
        _check_entry(case, entry, f"{where} entry {entry.number}")
    return CasePassed(CaseCheck.COURSE, len(case.entries) + len(case.rulings))


def _is_back(case: Case, ruling: CaseRuling) -> bool:
    """Tell whether the panel has it again, because the body that a ruling asked did not take it."""
    is_asked = case.level is CaseLevel.UNITS and ruling.taken is None
    return is_asked and case.state is CaseState.CONFERENCE


def _check_entry(case: Case, entry: Entry, where: str) -> None:
    is_of_panel = entry.kind in _OF_PANEL
    if is_of_panel and entry.party != case.key.scope:
        raise _broken(
            where, "纪要或答复不出自裁定机构", "minutes or an answer of another than the arbiter"
        )
    if not is_of_panel and entry.party not in case.audience:
        raise _broken(where, "陈述方不是当事方", "who speaks is no party", entry.party)
    try:
        speaker = Principal.parse(entry.author).authority
    except PeerNotAllowed:
        speaker = None
    home = case.key.scope if is_unit(entry.party) else entry.party
    if speaker != home:
        raise _broken(
            where, "记录人不属该方", "the author is not of that party", entry.author, home
        )


def _broken(
    where: str, chinese: str, english: str, got: str = "", expected: str = ""
) -> CaseBroken:
    flaw = CaseFlaw(CaseCheck.COURSE, where, Text(chinese, english), got=got, expected=expected)
    return CaseBroken(flaw)
