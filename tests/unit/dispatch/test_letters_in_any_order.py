"""Said, handed over and carried in any order: each act is carried out once, and all know."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.custody.model import OfferReason
from gateway.kernel.codes import CitizenActKind, TicketState
from gateway.kernel.errors import LubiaoError
from tests.unit.dispatch.letters import FAR_SPLIT, HEBEI, LANGFANG, TIANJIN, Story, a_story

Kind = CitizenActKind
PARTIES = (TIANJIN, HEBEI, LANGFANG)
STEPS = (
    Kind.SUPPLEMENT,
    Kind.URGE,
    Kind.WITHDRAW,
    Kind.REOPEN,
    "down",
    "accept",
    "decline",
    "home",
    *PARTIES,
)


async def step(story: Story, what: CitizenActKind | str) -> None:
    """Take one step; what is not possible now is refused and changes nothing."""
    federation = story.federation
    if isinstance(what, CitizenActKind):
        await story.take(what, "测试", settles=False)
    elif what == "down":
        await story.offer(HEBEI, LANGFANG, settles=False)
    elif what == "home":
        await story.offer(LANGFANG, HEBEI, reason=OfferReason.ESCALATE, settles=False)
    elif what in ("accept", "decline"):
        await story.decide(LANGFANG, accepts=what == "accept", settles=False)
    else:
        await federation.carry(federation.node_of(what))


async def told(steps: list[CitizenActKind | str]) -> Story:
    story = await a_story(TIANJIN, "130000", FAR_SPLIT)
    for what in steps:
        with suppress(LubiaoError):
            await step(story, what)
    await story.federation.settle()
    with suppress(LubiaoError):
        await story.decide(LANGFANG, accepts=True)  # nothing is left undecided
    return story


async def check(story: Story) -> None:
    at_origin = await story.copy(TIANJIN)
    numbers = [item.number for item in at_origin.citizen_acts]
    assert numbers == list(range(1, len(numbers) + 1))
    assert all(bool(item.applied) != bool(item.refusal) for item in at_origin.citizen_acts)
    holders = [HEBEI] if not (await story.copy(HEBEI)).followed else [LANGFANG]
    custodian = await story.copy(holders[0])
    assert custodian.state == at_origin.state
    kept = [(item.number, item.kind) for item in custodian.citizen_acts]
    known = [(item.number, item.kind) for item in at_origin.citizen_acts]
    assert kept == known[: len(kept)]
    # The origin itself refuses what comes after it heard of the end.
    assert all(item.refusal for item in at_origin.citizen_acts[len(kept) :])
    withdrawals = 0
    for authority in PARTIES:
        with suppress(LubiaoError):  # 廊坊 need not know the ticket
            events = await story.events(authority)
            withdrawals += events.count("ticket.withdrawn")
            copy = await story.copy(authority)
            for kind, name in ((Kind.URGE, "citizen.urged"), (Kind.SUPPLEMENT, None)):
                said = sum(item.kind is kind for item in copy.citizen_acts)
                assert events.count(name or "citizen.supplemented") <= said
    assert withdrawals == (at_origin.state is TicketState.WITHDRAWN)


@settings(deadline=None, max_examples=15)
@example([Kind.WITHDRAW, TIANJIN, "down"])  # what ended is not offered away
@given(st.lists(st.sampled_from(STEPS), max_size=14))
def test_each_act_is_carried_out_once_and_everybody_learns_it(
    steps: list[CitizenActKind | str],
) -> None:
    async def run() -> None:
        await check(await told(steps))

    asyncio.run(run())
