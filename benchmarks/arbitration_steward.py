"""The rule stewards of the simulated world: what a ruling proposes is accepted or declined.

A minute after a ruling that sets a precedent its proposal is prepared, as the node's own task does.
One to five working days after the first ruling of a quarrel whose habit is a rule, a steward of the
ruling authority looks at the proposal and accepts four of five. What is accepted goes the way of
every draft: checked, approved by another person, signed, published; from then on routing decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from benchmarks.arbitration_nodes import StageNode
from benchmarks.arbitration_quarrels import Habit, Quarrel
from benchmarks.arbitration_stage import IDS, a_person
from benchmarks.arbitration_world import RULES, Story, World
from gateway.kernel.codes import CaseLevel
from gateway.kernel.time import Instant
from gateway.publishing.model import Version
from gateway.trust.principal import Principal, Role
from hotline.arbitration.v1 import proposal_pb2 as pb

ACCEPTED = 0.8
DAY_MINUTES = 420  # of business
TRIES_MAX = 6  # a pack that changed meanwhile is tried on the past again first
PAGE = 200


@dataclass(slots=True)
class Steward:
    """Decides about rules that rulings propose; `accepted` says since when a quarrel has one."""

    world: World
    accepted: dict[Quarrel, Instant] = field(default_factory=dict)
    declined: int = 0
    given_up: list[str] = field(default_factory=list)
    _seen: set[Quarrel] = field(default_factory=set)

    def ruled(self, story: Story) -> None:
        """Look at the first ruling of a quarrel in a few days."""
        quarrel, world = story.quarrel, self.world
        is_new = quarrel.level is CaseLevel.UNITS and quarrel not in self._seen
        if quarrel.habit is not Habit.RULE or not is_new:
            return
        self._seen.add(quarrel)
        world.at(world.now + timedelta(minutes=1), partial(self._prepare, story), what=RULES)
        minutes = DAY_MINUTES * world.dice.uniform(1, 5)
        wish = world.dice.random() < ACCEPTED
        at = world.hours.later(world.now, minutes)
        world.at(at, partial(self._accept if wish else self._decline, story, TRIES_MAX), what=RULES)

    async def _prepare(self, story: Story) -> None:
        proposals = self._node(story).arbitration.learning.proposals
        if proposals is not None:
            await proposals.prepare()

    async def _decline(self, story: Story, _tries: int) -> None:
        found = await self._found(story)
        if found is not None:
            request = pb.DeclineProposalRequest(
                name=found.name, reason="职责另行明确（测试）", request_id=IDS.uuid7(self.world.now)
            )
            servicer = self._node(story).served
            editor = self._person(story, "editor1", Role.RULE_EDITOR)
            await self.world.attempt("decline rule", servicer.DeclineProposal(request, editor))
        self.declined += 1

    async def _accept(self, story: Story, tries: int) -> None:
        """Accept and publish; when the pack changed meanwhile, look again on another day."""
        world = self.world
        await self._prepare(story)
        found = await self._found(story)
        is_open = found is not None and found.state == pb.RuleProposal.STATE_OPEN
        if found is not None and is_open and await self._published(story, found):
            self.accepted[story.quarrel] = world.now
        elif tries > 1:
            later = world.hours.later(world.now, DAY_MINUTES / 2)
            world.at(later, partial(self._accept, story, tries - 1), what=RULES)
        else:
            self.given_up.append(story.case)

    async def _found(self, story: Story) -> pb.RuleProposal | None:
        servicer = self._node(story).served
        editor = self._person(story, "editor1", Role.RULE_EDITOR)
        listed = await servicer.ListProposals(pb.ListProposalsRequest(page_size=PAGE), editor)
        name = f"cases/{story.case}"
        return next((each for each in listed.proposals if each.case == name), None)

    async def _published(self, story: Story, found: pb.RuleProposal) -> bool:
        world, node = self.world, self._node(story)
        editor = self._person(story, "editor1", Role.RULE_EDITOR)
        approver = self._person(story, "approver1", Role.RULE_APPROVER)
        request = pb.AcceptProposalRequest(
            name=found.name, etag=found.etag, request_id=IDS.uuid7(world.now)
        )
        accept = node.served.AcceptProposal(request, editor)
        answer = await world.attempt("accept rule", accept)
        if answer is None:
            return False
        room, draft = node.tickets.publishing, answer.proposal.draft
        call = partial(world.call, method="rule")
        await room.drafts.check(call(editor), name=draft, answer=_answered)
        await room.drafts.approve(call(approver), name=draft, etag="", answer=_answered)
        await room.publisher.publish(
            call(approver),
            name=draft,
            effective=None,
            reason="由裁定形成（测试）",
            etag="",
            answer=_answered,
        )
        await room.force.ready()
        return True

    def _node(self, story: Story) -> StageNode:
        return self.world.stage.node_of(story.scope)

    def _person(self, story: Story, name: str, role: Role) -> Principal:
        return a_person(story.scope, name, role)


def _answered(_version: Version, *_more: Any) -> bytes:
    return b"answered"
