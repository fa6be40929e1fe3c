"""What nodes tell each other about rules: summaries, misroutes and their answers, imports."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.database.uow import Database
from gateway.delivery.codec import statement_from_bytes
from gateway.delivery.model import Delivered, SignedBytes
from gateway.kernel.codes import (
    MisrouteReason,
    MisrouteResolution,
    MisrouteState,
    PublicationKind,
    RulePackState,
)
from gateway.kernel.errors import (
    FieldInvalid,
    KeyUnknown,
    RemoteProtocolError,
    ResourceNotFound,
    SignatureInvalid,
    StatementMalformed,
    TransitionNotAllowed,
)
from gateway.kernel.ids import NATION, AuthorityCode, TicketNumber
from gateway.kernel.values import replace
from gateway.publishing import codec
from gateway.publishing.library import digest_of
from gateway.publishing.misroutes import Complaint
from gateway.publishing.model import Misroute, Publication, Version
from gateway.publishing.signing import Signer
from gateway.publishing.store import ACTIVATIONS, ACTIVATIONS_OF, FAILURES, SUMMARIES_ALL
from gateway.routing.model import RuleFailure
from gateway.trust.principal import Role
from gateway.trust.statements import digest
from tests.fixtures.nodes import (
    IDS,
    NOW,
    SPLIT,
    Federation,
    a_call,
    a_federation,
    a_message,
    a_platform,
)
from tests.unit.publishing.builders import (
    APPROVER,
    DAY,
    EDITOR,
    FIRST,
    HEBEI,
    LANGFANG,
    PACK,
    SECOND,
    Keep,
    Office,
    a_rule_person,
    a_source,
    an_office,
    offices,
)

PROVINCE_DESK = a_rule_person("desk", Role.DISPATCHER, authority=HEBEI)
CITY_DESK = a_rule_person("desk", Role.DISPATCHER)
NATIONAL = "100000.national"
WEEK_AND_MORE = 8 * DAY


@pytest.fixture
async def split(database: Database) -> dict[str, Office]:
    """Give the offices of three nodes; 廊坊's has the database of the test."""
    return await offices(SPLIT, {"langfang": database})


async def told(office: Office) -> None:
    await office.room.summaries.tell()
    await office.federation.settle()


# --- summaries ------------------------------------------------------------------------------------


async def test_peers_learn_of_a_pack_once_and_can_check_against_it(
    split: dict[str, Office],
) -> None:
    city, province = split["langfang"], split["hebei"]
    await city.published(await city.ready(FIRST))
    await told(city)
    [pack] = [each for each in await province.room.summaries.packs() if each.pack == PACK]
    [rule] = pack.rules
    assert (rule.id, rule.selectors.matters) == ("lf.test", ("041200",))
    assert await city.room.summaries.tell() == 0


async def test_a_newer_summary_replaces_the_older_and_an_older_one_is_ignored(
    split: dict[str, Office],
) -> None:
    city, province = split["langfang"], split["hebei"]
    await city.published(await city.ready(FIRST))
    await told(city)
    async with province.database.unit() as uow:
        [old] = [row for row in await uow.select(SUMMARIES_ALL) if row.pack == PACK]
    second = await city.published(await city.ready(SECOND))
    await told(city)
    delivered = Delivered(
        target=old.owner,  # type: ignore[arg-type] # a builder of tests
        statement=statement_from_bytes(old.statement),
        signed=SignedBytes(old.statement, old.key_id, old.signature),
        digest=digest(old.statement),
        blocks=(),
    )
    async with province.database.unit() as uow:
        await province.room.summaries.handle(uow, delivered, NOW)
    async with province.database.unit() as uow:
        rows = [row for row in await uow.select(SUMMARIES_ALL) if row.pack == PACK]
    assert [row.version for row in rows] == [second.version]


async def test_a_retired_pack_is_told_as_none(split: dict[str, Office]) -> None:
    city, province = split["langfang"], split["hebei"]
    await city.published(await city.ready(FIRST))
    await city.retired(f"rulePacks/{PACK}")
    await told(city)
    assert PACK not in {pack.pack for pack in await province.room.summaries.packs()}


async def test_a_summary_of_another_authoritys_pack_is_refused(split: dict[str, Office]) -> None:
    city, province = split["langfang"], split["hebei"]
    await told(city)
    async with province.database.unit() as uow:
        [row] = [row for row in await uow.select(SUMMARIES_ALL) if row.pack == PACK]
    statement = statement_from_bytes(row.statement)
    foreign = SignedBytes(row.statement, row.key_id, row.signature)
    delivered = Delivered(
        target=statement.audience[0],
        statement=replace(statement, issuer=statement.audience[0]),
        signed=foreign,
        digest=digest(row.statement),
        blocks=(),
    )
    with pytest.raises(StatementMalformed):
        async with province.database.unit() as uow:
            await province.room.summaries.handle(uow, delivered, NOW)


# --- misroutes ------------------------------------------------------------------------------------


async def report(office: Office, complaint: Complaint, *, by: object = CITY_DESK) -> Misroute:
    keep = Keep[Misroute]()
    call = a_call(by, "ReportMisroute")  # type: ignore[arg-type] # a builder of tests
    await office.room.misroutes.report(call, complaint, answer=keep)
    await office.federation.settle()
    return keep.value


async def answer(office: Office, misroute: Misroute, *, by: object = EDITOR) -> Misroute:
    keep = Keep[Misroute]()
    await office.room.misroutes.answer(
        a_call(by, "AnswerMisroute"),  # type: ignore[arg-type] # a builder of tests
        misroute=misroute.misroute,
        resolution=MisrouteResolution.RULE_CHANGED,
        version="a" * 64,
        answer=keep,
    )
    await office.federation.settle()
    return keep.value


async def a_complaint(office: Office, **more: object) -> Complaint:
    ticket = await office.submit("misrouted")
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    return Complaint(ticket=number, reason=MisrouteReason.STALE_UNIT, **more)  # type: ignore[arg-type] # a builder of tests


async def test_a_report_names_the_rule_that_decided_and_is_counted(
    split: dict[str, Office],
) -> None:
    city = split["langfang"]
    version = await city.published(await city.ready(FIRST))
    told_: list[object] = []
    city.room.misroutes.told = lambda *each: told_.append(each)
    made = await report(city, await a_complaint(city))
    assert (made.rule, made.pack_label) == ("lf.test", f"{PACK}@{version.version[:12]}")
    assert (made.owner, made.state) == (LANGFANG, MisrouteState.OPEN)
    assert made.due > NOW + 6 * DAY  # five working days, over a weekend
    answered = await answer(city, made)
    assert (answered.state, answered.resolution) == (
        MisrouteState.ANSWERED,
        MisrouteResolution.RULE_CHANGED,
    )
    async with city.database.unit() as uow:
        [count] = await city.room.misroutes.counts(uow, authority=LANGFANG)
    assert (count.rule, count.reported, count.open, count.rule_changed) == ("lf.test", 1, 0, 1)
    assert told_ == [
        (MisrouteReason.STALE_UNIT, None),
        (MisrouteReason.STALE_UNIT, MisrouteResolution.RULE_CHANGED),
    ]
    with pytest.raises(TransitionNotAllowed):
        await answer(city, made)


async def test_a_report_reaches_another_authority_and_its_answer_comes_back(
    split: dict[str, Office],
) -> None:
    city, province = split["langfang"], split["hebei"]
    complaint = await a_complaint(city, rule="hb.some", pack="130000.hebei@" + "b" * 12)
    made = await report(city, complaint)
    assert made.owner == HEBEI
    [there] = await province.misroutes(HEBEI)
    assert (there.misroute, there.reporter, there.rule) == (made.misroute, LANGFANG, "hb.some")
    with pytest.raises(TransitionNotAllowed):
        await answer(city, made)  # it is not its rule
    hebei_editor = a_rule_person("editor", Role.RULE_EDITOR, authority=HEBEI)
    await answer(province, there, by=hebei_editor)
    [back] = await city.misroutes(LANGFANG)
    assert (back.state, back.resolution) == (
        MisrouteState.ANSWERED,
        MisrouteResolution.RULE_CHANGED,
    )


async def test_an_offer_by_the_place_belongs_to_who_made_it(split: dict[str, Office]) -> None:
    city, province = split["langfang"], split["hebei"]
    ticket = await city.federation.create(a_platform(HEBEI), a_message(region="131082"))
    await city.federation.settle()
    number = TicketNumber(ticket.name.removeprefix("tickets/"))
    complaint = Complaint(ticket=number, reason=MisrouteReason.GAP, is_about_offer=True)
    made = await report(city, complaint)
    assert (made.owner, made.pack) == (HEBEI, "place")
    [there] = await province.misroutes(HEBEI)
    assert (there.misroute, there.reporter) == (made.misroute, LANGFANG)


async def test_what_is_not_answered_in_time_is_escalated(split: dict[str, Office]) -> None:
    city = split["langfang"]
    made = await report(city, await a_complaint(city))
    assert await city.misroutes(LANGFANG, overdue=True) == []
    city.federation.clock.advance(WEEK_AND_MORE)
    await city.run_timers()
    [late] = await city.misroutes(LANGFANG, overdue=True)
    assert late.misroute == made.misroute
    assert late.escalated
    assert ("misroute.overdue", "DONE") in await city.acts()
    async with city.database.unit() as uow:
        waiting = await city.room.misroutes.waiting(uow)
    assert (waiting.open, waiting.overdue) == (0, 1)


async def test_nobody_reports_a_ticket_that_they_do_not_see(split: dict[str, Office]) -> None:
    city, province = split["langfang"], split["hebei"]
    complaint = await a_complaint(city)
    stranger = a_rule_person("stranger", Role.DISPATCHER, authority="130100")
    with pytest.raises(ResourceNotFound):
        await report(province, complaint, by=stranger)
    with pytest.raises(ResourceNotFound):
        await report(city, replace(complaint, is_about_offer=True))


async def test_an_answer_of_somebody_else_is_refused(split: dict[str, Office]) -> None:
    city, province = split["langfang"], split["hebei"]
    made = await report(city, await a_complaint(city))
    body = codec.answer_to_bytes(
        replace(made, resolution=MisrouteResolution.NO_DISCREPANCY), answered=NOW
    )
    signer = Signer(keys=province.node.keys, ids=IDS)
    signed = signer.sign(codec.ANSWER, body, issuer=HEBEI, audience=(LANGFANG,), now=NOW)
    delivered = Delivered(
        target=AuthorityCode(LANGFANG),
        statement=statement_from_bytes(signed.statement),
        signed=signed,
        digest=digest(signed.statement),
        blocks=(),
    )
    with pytest.raises(StatementMalformed):
        async with city.database.unit() as uow:
            await city.room.handlers[codec.ANSWER](uow, delivered, NOW)


async def test_no_report_hides_in_the_past(split: dict[str, Office]) -> None:
    city, province = split["langfang"], split["hebei"]
    made = await report(
        city, await a_complaint(city, rule="hb.some", pack="130000.hebei@" + "b" * 12)
    )
    other = IDS.uuid7(NOW)
    long_ago = replace(made, misroute=other, reported=NOW - 30_000 * DAY)  # before 1970
    signer = Signer(keys=city.node.keys, ids=IDS)
    body = codec.report_to_bytes(long_ago)
    signed = signer.sign(codec.REPORT, body, issuer=LANGFANG, audience=(HEBEI,), now=NOW)
    delivered = Delivered(
        target=AuthorityCode(HEBEI),
        statement=statement_from_bytes(signed.statement),
        signed=signed,
        digest=digest(signed.statement),
        blocks=(),
    )
    async with province.database.unit() as uow:
        await province.room.handlers[codec.REPORT](uow, delivered, NOW)
    assert other in [each.misroute for each in await province.misroutes(HEBEI)]


async def test_failed_conditions_reach_the_owner_once(split: dict[str, Office]) -> None:
    city = split["langfang"]
    failure = RuleFailure(
        pack=PACK, version="c" * 64, rule="lf.test", owner="测试规则组", error="除以零"
    )
    taken = [((failure, 3),), ((failure, 2),)]
    city.room.failures.take = lambda: taken.pop(0)
    await city.room.failures.flush()
    await city.room.failures.flush()
    [made] = await city.misroutes(LANGFANG)
    assert (made.reason, made.occurrences, made.ticket) == (MisrouteReason.CONDITION_FAILED, 3, "")
    async with city.database.unit() as uow:
        row = await uow.get(FAILURES, PACK, "c" * 64, "lf.test", LANGFANG)
    assert row is not None
    assert row.occurrences == 5


# --- imports --------------------------------------------------------------------------------------


@pytest.fixture
async def abroad(database: Database) -> Office:
    """Give the office of 廊坊 in a federation whose nation has keys of its own."""
    federation = a_federation(SPLIT, now=NOW, databases={"langfang": database}, with_arbiter=True)
    office = an_office(federation, "langfang")
    await office.found()
    return office


def a_national(federation: Federation, source: bytes, **changes: Any) -> SignedBytes:
    """Return what the nation signs about a pack."""
    assert federation.arbiter is not None
    said = Publication(
        pack=NATIONAL,
        version=digest_of(source),
        owner=NATION,
        kind=PublicationKind.PUBLISH,
        sequence=1,
        editor="lubiao://100000/staff/editor",
        approver="lubiao://100000/staff/approver",
        publisher="lubiao://100000/staff/approver",
        effective=NOW,
        previous="",
        expires=NOW + 30 * DAY,
    )
    body = codec.publication_to_bytes(replace(said, **changes))
    signer = Signer(keys=federation.arbiter.keys, ids=IDS)
    return signer.sign(codec.PUBLICATION, body, issuer=NATION, now=NOW)


NATIONAL_PACK = a_source(("cn.test", "JT"), pack=NATIONAL)


async def take_in(office: Office, source: bytes, signed: SignedBytes) -> Version:
    keep = Keep[Version]()
    call = a_call(APPROVER, "ImportRulePack")
    await office.room.publisher.take_in(call, source=source, signed=signed, answer=keep)
    return keep.value


async def test_a_pack_of_the_nation_comes_into_force_by_its_signature(abroad: Office) -> None:
    signed = a_national(abroad.federation, NATIONAL_PACK)
    version = await take_in(abroad, NATIONAL_PACK, signed)
    assert (version.state, version.owner) == (RulePackState.ACTIVE, NATION)
    await abroad.room.force.ready()
    assert abroad.room.force().get(NATIONAL).version == digest_of(NATIONAL_PACK)
    with pytest.raises(FieldInvalid, match="sequence"):
        await take_in(abroad, NATIONAL_PACK, signed)  # a replay


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"version": "d" * 64}, FieldInvalid),
        ({"expires": NOW - DAY}, FieldInvalid),
        ({"approver": "lubiao://100000/staff/editor"}, FieldInvalid),
        ({"pack": "130000.hebei"}, SignatureInvalid),
        ({"owner": HEBEI}, SignatureInvalid),
    ],
)
async def test_what_is_not_a_sound_publication_of_the_nation_is_refused(
    abroad: Office, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await take_in(
            abroad, NATIONAL_PACK, a_national(abroad.federation, NATIONAL_PACK, **changes)
        )


async def test_an_unsigned_or_wrongly_signed_pack_is_refused(abroad: Office) -> None:
    signed = a_national(abroad.federation, NATIONAL_PACK)
    spoiled = SignedBytes(signed.statement, signed.key_id, bytes(64))
    with pytest.raises(SignatureInvalid):
        await take_in(abroad, NATIONAL_PACK, spoiled)
    own = Signer(keys=abroad.node.keys, ids=IDS)
    body = statement_from_bytes(signed.statement).body
    ours = own.sign(codec.PUBLICATION, body, issuer=LANGFANG, now=NOW)
    with pytest.raises(KeyUnknown):
        await take_in(abroad, NATIONAL_PACK, ours)


async def test_a_pack_of_the_nation_is_retired_at_its_instant(abroad: Office) -> None:
    version = await take_in(abroad, NATIONAL_PACK, a_national(abroad.federation, NATIONAL_PACK))
    retired = a_national(
        abroad.federation,
        b"",
        version="",
        kind=PublicationKind.RETIRE,
        sequence=2,
        effective=NOW + DAY,
    )
    await abroad.room.force.ready()
    await take_in(abroad, b"", retired)
    abroad.federation.clock.advance(2 * DAY)
    await abroad.run_timers()
    await abroad.room.force.ready()
    assert abroad.room.force().find(NATIONAL) is None
    async with abroad.database.unit() as uow:
        shown = await abroad.room.drafts.resolve(uow, version.name)
    assert shown.state is RulePackState.RETIRED


async def test_a_row_written_by_hand_decides_nothing(abroad: Office) -> None:
    version = await abroad.published(await abroad.ready(FIRST))
    async with abroad.database.unit() as uow:
        [row] = await uow.rows(ACTIVATIONS_OF, PACK, version.version)
        uow.put(ACTIVATIONS, replace(row, signature=bytes(64)))
    fresh = an_office_again(abroad)
    with pytest.raises(RemoteProtocolError):
        await fresh.room.force.catch_up()
    assert "SIGNATURE_INVALID" in fresh.room.force.trouble


def an_office_again(office: Office) -> Office:
    """Return an office over the same database, as after a restart."""
    office.node.inbox._handlers = {}
    return an_office(office.federation, "langfang")
