"""Proposals and what they rest on as messages."""

from __future__ import annotations

from gateway.arbitration.learning.proposals import Evidence
from gateway.arbitration.learning.store import ProposalRow, ProposalState
from gateway.delivery.codec import instant_to_pb
from gateway.publishing.codec import findings_to_pb
from gateway.rehearsal.wire import report_to_pb
from hotline.arbitration.v1 import proposal_pb2 as pb


def proposal_to_pb(row: ProposalRow, *, whole: bool = False) -> pb.RuleProposal:
    """Return the message of a proposal; `whole`: with its evidence."""
    message = pb.RuleProposal(
        name=row.name,
        etag=row.etag,
        case=f"cases/{row.case_id}",
        ruling=row.ruling,
        ruler=row.ruler,
        state=pb.RuleProposal.State.Value(f"STATE_{row.state.upper()}"),
        pack=row.pack,
        base_version=row.base,
        rule=row.rule,
        text=row.text,
        examined_count=row.examined,
        moved_count=row.moved,
        obstacle=row.obstacle,
        draft=row.version,
        decided_by=row.decided_by,
        reason=row.reason,
        propose_time=instant_to_pb(row.made),
        update_time=instant_to_pb(row.changed),
    )
    if whole:
        message.evidence.CopyFrom(pb.ProposalEvidence.FromString(row.evidence))
    return message


def evidence_to_bytes(evidence: Evidence) -> bytes:
    """Return the bytes of what a proposal rests on."""
    return pb.ProposalEvidence(
        simulations=[report_to_pb(report).simulation for report in evidence.reports],
        findings=findings_to_pb(evidence.findings),
    ).SerializeToString(deterministic=True)


def state_of(state: pb.RuleProposal.State.ValueType) -> str:
    """Return the word of a state that a request names; nothing: all states."""
    if state == pb.RuleProposal.STATE_UNSPECIFIED:
        return ""
    return ProposalState(pb.RuleProposal.State.Name(state).removeprefix("STATE_").lower()).value


def accepted_to_bytes(row: ProposalRow) -> bytes:
    """Return the answer of an acceptance."""
    return pb.AcceptProposalResponse(proposal=proposal_to_pb(row)).SerializeToString()


def declined_to_bytes(row: ProposalRow) -> bytes:
    """Return the answer of a decline."""
    return pb.DeclineProposalResponse(proposal=proposal_to_pb(row)).SerializeToString()
