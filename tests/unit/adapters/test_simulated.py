import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from adapters.file_drop.formats import Row
from adapters.file_drop.rows import ticket_of_row
from adapters.kit.client import Client
from adapters.simulated import desk
from adapters.simulated.dispatcher import SimulatedDispatcher
from adapters.simulated.messages import (
    SAMPLES,
    behaviours_of,
    desk_choices,
    is_urged,
    sample_messages,
    variation_messages,
)
from adapters.simulated.plans import Delays
from adapters.simulated.platform import SimulatedPlatform
from gateway.cli.demo.topology import load_topology
from hotline.ticket.v1 import codes_pb2, ticket_pb2
from hotline.type.v1 import statement_pb2
from tests.unit.adapters.builders import QUICK, a_row, city_mapping, lines, rows_in
from tests.unit.adapters.fake_node import FakeNode, serving

NUMBER = "13100020261102000000001"
NAME = f"tickets/{NUMBER}"


class Watch:
    def __init__(self) -> None:
        self.present = 0.0

    def now(self) -> float:
        return self.present


def a_platform(folder: Path, watch: Watch, platform: str = "") -> SimulatedPlatform:
    return SimulatedPlatform(
        folder, messages=[a_row()], delays=Delays(), now=watch.now, platform=platform
    )


def give(folder: Path, number: str = NUMBER, assignment: int = 1, **cells: str) -> None:
    """Give the platform an assignment, as its adapter writes it."""
    row = {"全国工单编号": number, "派单序号": str(assignment), "承办角色": "主办"} | cells
    (folder / "outbox" / f"assignment-{number}-{assignment}.jsonl").write_bytes(lines(row))


def refuse(folder: Path, name: str, row: int, reason: str) -> None:
    """Reject one row of an answer file, as the adapter does."""
    reasons = lines({"行号": str(row), "原因代码": reason})
    stem = name.removesuffix(".jsonl")
    (folder / "rejected" / f"{stem}-0123456789ab.reasons.jsonl").write_bytes(reasons)


def acts_of(
    folder: Path,
    platform: str = "",
    *,
    rounds: int = 30,
    refused: Mapping[str, int] | None = None,
) -> list[dict[str, str]]:
    """Let a platform work in many short lives and return what it wrote.

    Args:
        folder: the adapter's folder.
        platform: whose behaviours it has.
        rounds: how many lives.
        refused: how often an action is refused before it is taken.
    """
    watch, found = Watch(), []
    left = dict(refused or {})
    for _ in range(rounds):
        party = a_platform(folder, watch, platform)
        party.tick()
        watch.present += 5
        party.tick()
        for path in sorted((folder / "answers").iterdir()):
            for number, answer in enumerate(rows_in(path), start=1):
                if left.get(answer["操作"], 0):
                    left[answer["操作"]] -= 1
                    refuse(folder, path.name, number, "TRANSITION_NOT_ALLOWED")
                else:
                    found.append(answer)
            path.unlink()
        party.tick()
    return found


def actions(answers: list[dict[str, str]]) -> list[str]:
    return [answer["操作"] for answer in answers]


def test_messages_are_handed_in_once_over_restarts(tmp_path: Path) -> None:
    folder, watch = tmp_path / "drop", Watch()
    a_platform(folder, watch).tick()
    handed = folder / "inbox" / "messages.jsonl"
    assert rows_in(handed) == [a_row()]
    handed.unlink()

    a_platform(folder, watch).tick()

    assert not handed.exists()


def test_assignment_is_signed_contacted_resolved_and_rated_in_order_over_restarts(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    give(folder)

    assert actions(acts_of(folder)) == ["签收", "联系", "办结", "评价"]
    assert not list((folder / "outbox").iterdir())


def test_next_answer_waits_until_the_adapter_took_the_last(tmp_path: Path) -> None:
    folder, watch = tmp_path / "drop", Watch()
    platform = a_platform(folder, watch)
    platform.tick()
    give(folder)
    for _ in range(5):
        watch.present += 5
        platform.tick()

    assert len(list((folder / "answers").iterdir())) == 1


def test_answer_file_that_may_have_been_lost_is_written_again(tmp_path: Path) -> None:
    folder, watch = tmp_path / "drop", Watch()
    platform = a_platform(folder, watch)
    platform.tick()
    give(folder)
    platform.tick()
    watch.present += 5
    platform.tick()
    written = next((folder / "answers").iterdir())
    content = written.read_bytes()
    written.unlink()  # taken, or never written: the platform was killed and cannot know

    a_platform(folder, watch).tick()

    assert written.read_bytes() == content


def test_call_back_that_is_refused_for_now_is_made_later(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    give(folder)

    found = acts_of(folder, rounds=60, refused={"评价": 5})

    assert actions(found) == ["签收", "联系", "办结", "评价"]


def test_assisting_unit_leaves_the_answer_to_the_lead(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    give(folder, 承办角色="协办")

    assert acts_of(folder) == []


def test_child_ticket_is_closed_without_a_word_to_the_citizen(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    give(folder, 父单编号=NUMBER)

    assert actions(acts_of(folder)) == ["签收", "办结"]


def test_unit_returns_what_its_people_disown_once(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    give(folder, 事项编码="161200", 诉求标题="界河河道堆放杂物")
    first = acts_of(folder, "130000-p1")
    give(folder, assignment=2, 事项编码="161200", 诉求标题="界河河道堆放杂物")
    second = acts_of(folder, "130000-p1")

    assert actions(first) == ["退单"]
    assert first[0]["建议承办"] == "authorities/120000"
    assert actions(second) == ["签收", "联系", "办结", "评价"]


def test_each_unit_of_a_platform_returns_once_and_handles_what_a_ruling_gives_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    row = {"事项编码": "020401", "诉求标题": "两区交界道路破损"}
    found = []
    for number, unit in enumerate(("130102-CG-1", "130104-CG-1", "130102-CG-1"), start=1):
        give(folder, NUMBER, number, 承办单位编号=unit, **row)
        found.append(actions(acts_of(folder, "130100-p1")))

    assert found == [["退单"], ["退单"], ["签收", "联系", "办结", "评价"]]


def test_unit_named_for_the_time_being_says_what_it_did_when_the_ruling_is_there(
    tmp_path: Path,
) -> None:
    folder, watch = tmp_path / "drop", Watch()
    a_platform(folder, watch).tick()
    row = {"事项编码": "020402", "诉求标题": "无主井盖缺失", "承办单位编号": "320213-CG-1"}
    give(folder, NUMBER, 1, **row)
    assert actions(acts_of(folder, "320200-p1")) == ["退单"]
    give(folder, NUMBER, 3, **row)
    assert actions(acts_of(folder, "320200-p1", rounds=4)) == ["签收", "联系"]

    news = {"全国工单编号": NUMBER, "事件": "case.ruled"}
    (folder / "outbox" / f"state-{NUMBER}-9.jsonl").write_bytes(lines(news))
    a_platform(folder, watch, "320200-p1").tick()

    assert actions(rows_in(next((folder / "answers").iterdir()))) == ["办结"]


def test_unit_asks_and_the_platform_of_the_citizen_answers(tmp_path: Path) -> None:
    asks, answers = tmp_path / "asks", tmp_path / "answers"
    for folder in (asks, answers):
        a_platform(folder, Watch()).tick()
    give(asks, 事项编码="090101", 诉求标题="养老保险关系转入天津")
    question = {"全国工单编号": NUMBER, "问题序号": "1", "补充问题": "何时参保"}
    (answers / "outbox" / f"question-{NUMBER}-1.jsonl").write_bytes(lines(question))

    assert actions(acts_of(asks, "120000-p1", rounds=5)) == ["签收", "询问"]
    news = {"全国工单编号": NUMBER, "事件": "information.answered"}
    (asks / "outbox" / f"state-{NUMBER}-9.jsonl").write_bytes(lines(news))
    watch = Watch()
    party = a_platform(asks, watch, "120000-p1")
    party.tick()
    assert actions(rows_in(next((asks / "answers").iterdir()))) == ["联系"]
    answered = acts_of(answers)
    assert actions(answered) == ["答复"]
    assert answered[0]["问题序号"] == "1"


def test_citizen_of_some_variations_rings_again_once(tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    a_platform(folder, Watch()).tick()
    for position in (1, 2):
        row = {"全国工单编号": NUMBER, "工单编号": "TJ1-V000020", "工单状态": "待处置"}
        (folder / "outbox" / f"state-{NUMBER}-{position}.jsonl").write_bytes(lines(row))

    assert actions(acts_of(folder)) == ["催办"]
    assert not is_urged("TJ1")
    assert not is_urged("TJ1-V000021")


# --- samples ----------------------------------------------------------------


def platforms() -> list[str]:
    return sorted(path.stem for path in SAMPLES.glob("*.jsonl"))


def test_every_sample_and_variation_reads_as_a_ticket() -> None:
    rows = [row for name in platforms() for row in sample_messages(name)]
    counts = {row["工单编号"]: 3 for row in rows}
    rows += [row for name in platforms() for row in variation_messages(name, counts)]

    tickets = [
        ticket_of_row(city_mapping(), Row(number, row), name="f")
        for number, row in enumerate(rows, start=1)
    ]

    assert len({ticket.external_id for ticket in tickets}) == len(rows) == 4 * len(counts)
    assert all("演示数据" in ticket.content.content for ticket in tickets)


def test_facts_of_a_sample_reach_the_ticket() -> None:
    row = next(row for row in sample_messages("120000-p1") if row["事项编码"] == "060101")

    facts = ticket_of_row(city_mapping(), Row(1, row), name="f").content.facts

    assert (facts.seller_region, facts.registration_region) == ("320500", "310000")
    assert facts.industry == "e_commerce"


def test_same_seed_gives_the_same_variations_and_another_one_others() -> None:
    counts = {"TJ20261102-0001": 50}
    first = variation_messages("120000-p1", counts, seed=1)

    assert first == variation_messages("120000-p1", counts, seed=1)
    assert first != variation_messages("120000-p1", counts, seed=2)
    assert len({row["事发区划"] for row in first}) > 1


def test_people_decide_about_matters_that_occur_in_the_samples() -> None:
    matters = {row["事项编码"] for name in platforms() for row in sample_messages(name)}
    desks = load_topology().dispatchers
    decided = {choice["matter"] for code in desks for choice in desk_choices(code)}
    behaved = {each["when"]["matter"] for code in desks for each in behaviours_of(f"{code}-p1")}

    assert decided | behaved <= matters
    varied = yaml.safe_load((SAMPLES / "variations.yaml").read_text(encoding="utf-8"))
    assert set(varied) <= {row["工单编号"] for name in platforms() for row in sample_messages(name)}


# --- the desk ----------------------------------------------------------------


def at_desk(**fields: Any) -> ticket_pb2.Ticket:
    """Return a held ticket that waits at the desk of 河北."""
    ticket = ticket_pb2.Ticket(
        name=NAME,
        authority="130000",
        matter="161200",
        resolved_region="130281",
        state=ticket_pb2.Ticket.STATE_DISPATCHED,
        custody=ticket_pb2.Custody(holding=ticket_pb2.Custody.HOLDING_HELD),
        assignments=[
            ticket_pb2.Assignment(
                number=1, unit="units/130000-desk", state=ticket_pb2.Assignment.STATE_ASSIGNED
            )
        ],
    )
    ticket.MergeFrom(ticket_pb2.Ticket(**fields))
    return ticket


def a_return(state: int, owner: str = "authorities/120000") -> ticket_pb2.Return:
    return ticket_pb2.Return(
        number=1, state=ticket_pb2.Return.State.ValueType(state), proposed_owner=owner
    )


CHOICES = ({"matter": "161200", "kind": "SW", "basis": "裁定"},)
FILED, GRANTED = ticket_pb2.Return.STATE_FILED, ticket_pb2.Return.STATE_GRANTED


def next_act(ticket: ticket_pb2.Ticket, tried: frozenset[int] = frozenset()) -> desk.Act | None:
    return desk.next_act(ticket, CHOICES, tried=tried)


def test_return_that_names_another_authority_is_granted_and_any_other_refused() -> None:
    assert next_act(at_desk(returns=[a_return(FILED)])) == desk.Review(1, is_granted=True)
    for owner in ("units/130000-JT-1", "authorities/130000"):
        ticket = at_desk(returns=[a_return(FILED, owner)])
        assert next_act(ticket) == desk.Review(1, is_granted=False)


def test_return_to_another_unit_is_granted_only_about_matters_that_people_chose() -> None:
    ticket = at_desk(returns=[a_return(FILED, "units/130000-JT-1")])
    choices = [{"matter": "161200", "grants": "yes"}]

    assert desk.next_act(ticket, choices, tried=frozenset()) == desk.Review(1, is_granted=True)
    granted = at_desk(returns=[a_return(GRANTED, "units/130000-JT-1")])
    assert desk.next_act(granted, choices, tried=frozenset()) is None  # the unit has it


def test_desk_asks_once_for_a_ruling_on_a_body_that_its_own_line_binds() -> None:
    choices = [{"matter": "161200", "ruling_for": "units/130000-YZ-1", "basis": "b"}]
    bound = at_desk()
    assert desk.next_act(bound, choices, tried=frozenset()) is None  # nobody is bound yet
    bound.assignments.add(number=2, unit="units/130000-SW-1", role=codes_pb2.ASSIGNMENT_ROLE_LEAD)

    asked = desk.next_act(bound, choices, tried=frozenset())
    bound.unit_requests.add(number=1)

    assert asked == desk.Dispute("units/130000-YZ-1", "b")
    assert desk.next_act(bound, choices, tried=frozenset()) is None


def test_granted_return_is_followed_by_one_offer_and_never_after_a_ruling() -> None:
    granted = at_desk(returns=[a_return(GRANTED)])
    ruled = at_desk(returns=[a_return(GRANTED)])
    ruled.custody.epoch.CopyFrom(statement_pb2.Epoch(era=1))

    assert next_act(granted) == desk.Transfer("120000", 1)
    assert isinstance(next_act(granted, frozenset({1})), desk.Assign)
    assert isinstance(next_act(ruled), desk.Assign)


def test_desk_assigns_from_the_place_upwards() -> None:
    assert next_act(at_desk()) == desk.Assign(
        ("units/130281-SW-1", "units/130200-SW-1", "units/130000-SW-1"), "裁定"
    )


def test_desk_leaves_alone_what_is_not_its_business() -> None:
    unit = ticket_pb2.Assignment(unit="units/130000-SW-1", state=ticket_pb2.Assignment.STATE_SIGNED)
    handled = at_desk()
    del handled.assignments[:]
    handled.assignments.append(unit)
    in_case, away, other = at_desk(), at_desk(followed=True), at_desk(matter="999999")
    in_case.custody.case = "c-1"

    for ticket in (handled, in_case, away, other):
        assert next_act(ticket) is None


def test_wish_for_more_time_is_granted() -> None:
    wish = ticket_pb2.Extension(number=2, state=ticket_pb2.Extension.STATE_ASKED)

    assert next_act(at_desk(extensions=[wish])) == desk.Extend(2)


async def run_desk(node: FakeNode, folder: Path, *tickets: ticket_pb2.Ticket) -> None:
    """Show the dispatcher each ticket as it changes, and let it work."""
    watch = Watch()
    async with serving(node) as channel:
        dispatcher = SimulatedDispatcher(
            Client(channel, peer="fake", backoff=QUICK),
            channel=channel,
            folder=folder,
            authority="130000",
            delay=timedelta(seconds=1),
            choices=CHOICES,
            now=watch.now,
        )
        for ticket in tickets:
            node.tickets[ticket.name] = ticket
            node.change(ticket, "ticket.changed")
            await dispatcher.handle(node.changes[-1])
            await dispatcher.work()  # nobody acts at once
            watch.present += 2
            await dispatcher.work()


async def test_dispatcher_records_the_answer_to_an_external_referral_and_closes(
    tmp_path: Path,
) -> None:
    node = FakeNode()
    referral = ticket_pb2.ExternalReferral(region="330100")
    referred = at_desk(external_referral=referral)
    answered = at_desk(external_referral=referral)
    answered.state = ticket_pb2.Ticket.STATE_RESOLVED

    await run_desk(node, tmp_path, referred, referred, answered)

    assert node.acts == [("resolve", NAME), ("close", NAME)]


async def test_dispatcher_takes_the_next_unit_when_there_is_none_in_the_place(
    tmp_path: Path,
) -> None:
    node = FakeNode(unknown_units={"units/130281-SW-1", "units/130200-SW-1"})

    await run_desk(node, tmp_path, at_desk())

    assert node.acts == [("assign units/130000-SW-1", NAME)]


async def test_dispatcher_reviews_a_return(tmp_path: Path) -> None:
    node = FakeNode()

    await run_desk(node, tmp_path, at_desk(returns=[a_return(FILED)]))

    assert node.acts == [("review", NAME)]


# --- data ----------------------------------------------------------------


def test_behaviour_files_are_in_the_platforms_words() -> None:
    mapping = city_mapping()
    cells = [
        each["return"]
        for name in ("130000-p1", "130100-p1", "310000-p1", "320200-p1")
        for each in behaviours_of(name)
        if "return" in each
    ]

    assert cells
    for each in cells:
        assert set(each) <= set(mapping.columns.values())
        assert mapping.tables["return_reason"].read(each["退单理由"], location="f")
    assert json.dumps(cells)
