"""Rules that came out of rulings, as the nodes show them, and how they are told. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.cli.output import pick
from gateway.kernel.codes import RulePackState, RuleProposalState


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """One proposal: the rule as the pack would have it, its trial, and what became of it."""

    case: str
    rule: str
    pack: str
    text: str
    state: str
    version: str = ""  # state of the pack's version that came of it
    examined: int = 0
    moved: int = 0
    obstacle: str = ""

    @property
    def is_in_force(self) -> bool:
        """Whether tickets are decided by it now."""
        return self.version == "ACTIVE"


def told(found: ProposedRule) -> list[str]:
    """Return a rule in words: whose ruling, what the replay said, how far it got, its text."""
    state = _word(found)
    return [
        pick(
            f"规则 {found.rule}（规则包 {found.pack}）出自争议 {found.case}："
            f"回放 {found.examined} 件既往派单，{found.moved} 件改派；{state}",
            f"rule {found.rule} (pack {found.pack}) out of dispute {found.case}: "
            f"{found.examined} past decisions tried again, {found.moved} moved; {state}",
        ),
        *(f"    {line}" for line in (found.text or found.obstacle).splitlines()),
    ]


def body(found: ProposedRule) -> dict[str, object]:
    """Return a rule for the summary."""
    return {
        "rule": found.rule,
        "pack": found.pack,
        "case": found.case,
        "text": found.text,
        "examined": found.examined,
        "moved": found.moved,
        "state": found.version or found.state,
    }


def _word(found: ProposedRule) -> str:
    if found.version in RulePackState.__members__:
        return pick(RulePackState[found.version].zh, found.version)
    if found.state in RuleProposalState.__members__:
        return pick(RuleProposalState[found.state].zh, found.state)
    return found.version or found.state
