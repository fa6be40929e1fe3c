"""The life of a version on both engines: who may do what, what is in force, what is noted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.database.uow import Database, UnitOfWork, run
from gateway.delivery.codec import statement_from_bytes
from gateway.kernel.codes import PublicationKind, RulePackState
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    PeerNotAllowed,
    ResourceExists,
    RoleMissing,
    RulePackInvalid,
    RulesChanged,
    RulesUnknown,
    TransitionNotAllowed,
)
from gateway.publishing.codec import publication_from_bytes
from gateway.publishing.store import (
    ACTIVATION_NUMBERS,
    ACTIVATIONS,
    ACTIVATIONS_OF,
    GENERATION,
    SOURCES,
    VERSIONS,
    GenerationRow,
    SourceRow,
)
from gateway.trust.principal import Role
from gateway.trust.statements import verify
from tests.fixtures.nodes import HOSTED, NOW
from tests.unit.publishing.builders import (
    APPROVER,
    DAY,
    EDITOR,
    FIRST,
    HEBEI,
    LANGFANG,
    PACK,
    SECOND,
    Office,
    a_rule_person,
    a_source,
    offices,
)

State = RulePackState


@pytest.fixture
async def office(database: Database) -> Office:
    """Give the office of a node that hosts 河北 with 廊坊."""
    found = await offices(HOSTED, {"hebei": database})
    return found["hebei"]


async def version_in_force(office: Office) -> str:
    await office.room.force.ready()
    pack = office.room.force().find(PACK)
    return pack.version if pack is not None else ""


async def test_a_version_goes_from_draft_into_force(office: Office) -> None:
    draft = await office.draft(FIRST)
    assert (draft.state, draft.editor) == (State.DRAFT, EDITOR.name)
    checked = await office.checked(draft)
    assert checked.state is State.CHECKED
    approved = await office.approved(checked)
    assert (approved.state, approved.approver) == (State.APPROVED, APPROVER.name)
    published = await office.published(approved)
    assert (published.state, published.effective) == (State.ACTIVE, NOW)
    assert await version_in_force(office) == draft.version
    acts = [act for act, _ in await office.acts() if act.startswith("rulepack.")]
    assert acts[-5:] == [
        "rulepack.draft",
        "rulepack.check",
        "rulepack.approve",
        "rulepack.sign",
        "rulepack.activate",
    ]


async def test_the_owner_signs_what_two_persons_stand_for(office: Office) -> None:
    before = await version_in_force(office)
    version = await office.published(await office.ready(FIRST))
    async with office.database.unit() as uow:
        [row] = await uow.rows(ACTIVATIONS_OF, PACK, version.version)
    key = office.federation.roster.statement_key(LANGFANG, row.key_id)
    assert key is not None
    verify(key, row.statement, row.signature)
    said = publication_from_bytes(statement_from_bytes(row.statement).body)
    assert (said.pack, said.version, said.owner) == (PACK, version.version, LANGFANG)
    assert (said.editor, said.approver) == (EDITOR.name, APPROVER.name)
    assert (said.previous, said.kind) == (before, PublicationKind.PUBLISH)


async def test_nobody_approves_what_they_wrote(office: Office) -> None:
    both = a_rule_person("both", Role.RULE_EDITOR, Role.RULE_APPROVER)
    checked = await office.checked(await office.draft(FIRST, editor=both), editor=both)
    with pytest.raises(RoleMissing):
        await office.approved(checked, approver=both)
    assert (await office.approved(checked)).state is State.APPROVED


async def test_what_was_not_approved_is_not_published(office: Office) -> None:
    draft = await office.draft(FIRST)
    with pytest.raises(TransitionNotAllowed):
        await office.published(draft)
    with pytest.raises(TransitionNotAllowed):
        await office.approved(draft)
    with pytest.raises(TransitionNotAllowed):
        await office.published(await office.checked(draft))
    assert await version_in_force(office) != draft.version


async def test_a_pack_of_another_authority_is_refused(office: Office) -> None:
    stranger = a_rule_person("stranger", Role.RULE_EDITOR, authority=HEBEI)
    with pytest.raises(PeerNotAllowed):
        await office.draft(FIRST, editor=stranger)
    ready = await office.ready(FIRST)
    with pytest.raises(PeerNotAllowed):
        await office.published(ready, publisher=stranger)


async def test_a_pack_with_errors_is_refused_whole_with_all_findings(office: Office) -> None:
    wrong = FIRST.replace(b"kind: JT", b"kind: NOBODY").replace(b"041200", b"999999")
    with pytest.raises(RulePackInvalid) as refused:
        await office.draft(wrong)
    assert refused.value.metadata["count"] == "2"
    assert refused.value.hint.count(PACK) == 2


async def test_an_etag_of_an_older_look_is_refused(office: Office) -> None:
    draft = await office.draft(FIRST)
    checked = await office.checked(draft)
    with pytest.raises(EtagMismatch):
        await office.approved(checked, etag=draft.etag)
    assert (await office.approved(checked, etag=checked.etag)).state is State.APPROVED


async def test_a_scheduled_version_comes_into_force_at_its_instant(office: Office) -> None:
    before = await version_in_force(office)
    version = await office.published(await office.ready(FIRST), effective=NOW + DAY)
    assert version.state is State.SCHEDULED
    assert await version_in_force(office) == before
    office.federation.clock.advance(DAY - DAY / 1000)
    assert await version_in_force(office) == before
    office.federation.clock.advance(DAY / 1000)
    assert await version_in_force(office) == version.version
    assert await office.run_timers() == 1
    async with office.database.unit() as uow:
        shown = await office.room.drafts.resolve(uow, version.name)
        old = await office.room.drafts.resolve(uow, f"rulePacks/{PACK}/versions/{before}")
    assert (shown.state, old.state) == (State.ACTIVE, State.RETIRED)


async def test_a_rollback_brings_the_version_before_back(office: Office) -> None:
    before = await version_in_force(office)
    first = await office.published(await office.ready(FIRST))
    second = await office.published(await office.ready(SECOND))
    assert await version_in_force(office) == second.version
    back = await office.rolled_back()
    assert (back.version, back.state) == (first.version, State.ACTIVE)
    assert await version_in_force(office) == first.version
    assert (await office.rolled_back(version=before[:12])).version == before
    assert await version_in_force(office) == before


async def test_a_rollback_works_while_the_timer_of_a_schedule_is_late(office: Office) -> None:
    before = await version_in_force(office)
    await office.published(await office.ready(FIRST), effective=NOW + DAY)
    office.federation.clock.advance(2 * DAY)
    assert (await office.rolled_back()).version == before


async def test_without_an_earlier_version_there_is_no_rollback(office: Office) -> None:
    with pytest.raises(FieldInvalid):
        await office.rolled_back()


async def test_a_retired_pack_decides_nothing_and_comes_back(office: Office) -> None:
    version = await office.published(await office.ready(FIRST))
    retired = await office.retired(f"rulePacks/{PACK}")
    assert retired.reason == "测试退役"
    assert (retired.version, retired.state) == (version.version, State.RETIRED)
    assert await version_in_force(office) == ""
    assert (await office.rolled_back()).version == version.version
    assert await version_in_force(office) == version.version


async def test_a_scheduled_version_can_be_withdrawn(office: Office) -> None:
    before = await version_in_force(office)
    version = await office.published(await office.ready(FIRST), effective=NOW + DAY)
    assert (await office.retired(version.name)).state is State.RETIRED
    office.federation.clock.advance(2 * DAY)
    assert await version_in_force(office) == before
    with pytest.raises(FieldInvalid):
        await office.rolled_back(version=version.version)


async def test_an_id_is_never_used_again(office: Office) -> None:
    two = a_source(("lf.test", "JT"), ("lf.other", "SJ"))
    first = await office.published(await office.ready(two))
    await office.published(await office.ready(FIRST))  # gives lf.other up
    again = a_source(("lf.test", "SJ"), ("lf.other", "JT"))
    with pytest.raises(ResourceExists):
        await office.published(await office.ready(again))
    other = a_source(("lf.test", "JT"), pack="131000.other")
    draft = await office.draft(other, pack="131000.other")
    assert (await office.checked(draft)).state is State.DRAFT  # the check finds it too
    assert (await office.rolled_back(version=first.version)).version == first.version


async def test_the_same_bytes_are_the_same_version(office: Office) -> None:
    first = await office.ready(FIRST)
    assert await office.draft(FIRST) == first
    await office.published(first)
    await office.published(await office.ready(SECOND))
    with pytest.raises(ResourceExists):
        await office.draft(FIRST)  # roll back to it instead


async def test_a_decision_that_a_publication_overtook_is_made_again(office: Office) -> None:
    before, ready = await version_in_force(office), await office.ready(FIRST)
    force, used = office.room.force, list[str]()

    async def step(uow: UnitOfWork) -> None:
        await force.ready()
        used.append(force().get(PACK).version)
        force.hold(uow)
        uow.put(SOURCES, SourceRow(f"try-{len(used)}", b""))  # whatever the step writes
        if len(used) == 1:
            await office.published(ready)

    with pytest.raises(RulesChanged):
        async with office.database.unit() as uow:
            await step(uow)
    async with office.database.unit() as uow:
        assert await uow.get(SOURCES, "try-1") is None
    assert used == [before]


async def test_a_step_is_repeated_until_the_rules_stand_still(office: Office) -> None:
    versions = [await office.ready(FIRST), await office.ready(SECOND)]
    waiting, used = list(versions), list[str]()

    async def step(uow: UnitOfWork) -> None:
        await office.room.force.ready()
        used.append(office.room.force().get(PACK).version)
        office.room.force.hold(uow)
        if waiting:
            await office.published(waiting.pop(0))

    await run(office.database, step)
    assert used[1:] == [version.version for version in versions]


async def test_the_past_is_decided_with_the_rules_of_then(office: Office) -> None:
    before = await version_in_force(office)
    office.federation.clock.advance(DAY)
    first = await office.published(await office.ready(FIRST))
    office.federation.clock.advance(DAY)
    second = await office.published(await office.ready(SECOND))
    seen = [
        (await office.room.force.packs_at(NOW + step * DAY / 2)).get(PACK).version
        for step in range(6)
    ]
    assert seen == [before, before, first.version, first.version, second.version, second.version]


async def test_a_founding_pack_gives_way_to_what_is_published(office: Office) -> None:
    first = await office.published(await office.ready(FIRST))
    await office.room.force.ready()
    generation = office.room.force.generation
    await office.found()  # the node starts again with its folder
    assert await version_in_force(office) == first.version
    async with office.database.unit() as uow:
        row = await uow.get(GENERATION, 1)
    assert row is not None
    assert row.generation == generation


async def test_a_changed_folder_counts_from_the_start_on(office: Office) -> None:
    before = await version_in_force(office)
    kept = [pack for pack in office.room.force().packs if pack.pack != PACK]
    office.federation.clock.advance(DAY)
    await office.found(kept)
    assert await version_in_force(office) == ""
    assert (await office.room.force.packs_at(NOW)).get(PACK).version == before


async def test_what_was_withdrawn_gave_no_id_up(office: Office) -> None:
    two = a_source(("lf.test", "JT"), ("lf.other", "SJ"))
    await office.published(await office.ready(two))
    without = await office.published(await office.ready(FIRST), effective=NOW + DAY)
    await office.retired(without.name)
    mended = a_source(("lf.test", "SJ"), ("lf.other", "SJ"))
    published = await office.published(await office.ready(mended))
    assert await version_in_force(office) == published.version


async def test_of_two_late_schedules_the_one_in_force_is_shown_so(office: Office) -> None:
    ready = [await office.ready(source) for source in (FIRST, SECOND)]
    ready.sort(key=lambda version: version.version, reverse=True)  # the later one sorts first
    for step, version in enumerate(ready, start=1):
        await office.published(version, effective=NOW + step * DAY)
    office.federation.clock.advance(3 * DAY)
    await office.rolled_back()  # writes down what the timers did not
    async with office.database.unit() as uow:
        states = {
            row.version: row.state
            for version in ready
            if (row := await uow.get(VERSIONS, PACK, version.version)) is not None
        }
    assert states == {ready[0].version: State.ACTIVE, ready[1].version: State.RETIRED}
    assert await version_in_force(office) == ready[0].version


async def test_what_was_parsed_as_a_draft_decides_nothing_unsigned(office: Office) -> None:
    draft = await office.draft(FIRST)
    async with office.database.unit() as uow:
        [line] = await uow.select(ACTIVATION_NUMBERS, pack=PACK)
        [known] = [
            row
            for version in await office.room.drafts.newest(uow, pack=PACK, limit=9)
            for row in await uow.rows(ACTIVATIONS_OF, PACK, version.version)
        ]
        forged = replace(known, sequence=line.sequence + 1, version=draft.version, issued=1)
        uow.insert(ACTIVATIONS, replace(forged, effective=NOW, signature=b"x" * 64))
        uow.put(GENERATION, GenerationRow(1, office.room.force.generation + 1))
    office.room.force.heard(office.room.force.generation + 1)
    with pytest.raises(RulesUnknown):
        await office.room.force.ready()
