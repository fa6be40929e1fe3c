"""Every state and step: a transition or a typed refusal; the timeline against its definition."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.codes import PublicationKind, RulePackState
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    PeerNotAllowed,
    ResourceExists,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.values import replace
from gateway.publishing import machine
from gateway.publishing.model import Activation, Version, in_force, timeline, version_of
from gateway.publishing.states import VERSION, Step, allowed_steps
from tests.fixtures.nodes import NOW

STATES = [state for state in RulePackState if state]
HOUR = timedelta(hours=1)


def a_version(state: RulePackState, *, was_in_force: bool = True) -> Version:
    return Version(
        pack="131000.langfang",
        version="a" * 64,
        owner="131000",
        title="测试",
        rule_count=1,
        state=state,
        revision=1,
        editor="lubiao://131000/staff/editor",
        approver="",
        created=NOW,
        changed=NOW,
        effective=NOW if was_in_force else None,
    )


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", Step)
def test_every_step_in_every_state_leads_on_or_is_refused(state: RulePackState, step: Step) -> None:
    before = a_version(state)
    if (state, step) not in VERSION:
        with pytest.raises(TransitionNotAllowed) as refused:
            machine.moved(before, step, now=NOW)
        assert set(refused.value.metadata["allowed"].split("; ")) <= {
            *allowed_steps(state),
            "nothing",
        }
        return
    after = machine.moved(before, step, now=NOW + HOUR)
    assert after.state is VERSION[state, step]
    assert (after.revision, after.changed) == (2, NOW + HOUR)
    assert replace(after, state=state, revision=1, changed=NOW) == before  # nothing else changed


def test_only_what_was_in_force_comes_back() -> None:
    withdrawn = a_version(RulePackState.RETIRED, was_in_force=False)
    with pytest.raises(TransitionNotAllowed):
        machine.moved(withdrawn, Step.RESTORE, now=NOW)


@given(st.lists(st.sampled_from(list(Step)), max_size=12))
def test_nothing_comes_into_force_without_a_second_person_and_a_signature(
    steps: list[Step],
) -> None:
    """Whatever happens in whatever order: to be in force needs the approval and the signature."""
    version, done = a_version(RulePackState.DRAFT, was_in_force=False), set[Step]()
    for step in steps:
        try:
            version = machine.moved(version, step, now=NOW)
        except TransitionNotAllowed:
            continue
        done.add(step)
        if version.state is RulePackState.ACTIVE:
            version = replace(version, effective=NOW)
    if version.effective is not None or version.state is RulePackState.SCHEDULED:
        assert {Step.SOUND, Step.APPROVE, Step.SIGN} <= done


def test_an_editor_does_not_approve_and_an_old_etag_is_refused() -> None:
    checked = a_version(RulePackState.CHECKED)
    with pytest.raises(RoleMissing):
        machine.approved(checked, approver=checked.editor, now=NOW)
    approved = machine.approved(checked, approver="lubiao://131000/staff/other", now=NOW)
    assert approved.approver == "lubiao://131000/staff/other"
    with pytest.raises(EtagMismatch):
        machine.check_etag(approved, checked.etag)
    machine.check_etag(approved, approved.etag)
    with pytest.raises(PeerNotAllowed):
        machine.check_owner("131000", authority="130000", principal="lubiao://130000/staff/x")


def test_a_check_that_changes_nothing_keeps_the_revision() -> None:
    draft = a_version(RulePackState.DRAFT)
    failed = machine.checked(draft, errors=1, findings=2, now=NOW)
    assert failed.finding_count == 2
    assert machine.checked(failed, errors=1, findings=2, now=NOW) is failed
    assert machine.checked(failed, errors=0, findings=0, now=NOW).state is RulePackState.CHECKED


def test_ids_belong_to_one_pack_and_end_when_given_up() -> None:
    registered = {"a": ("131000.x", ""), "b": ("131000.y", ""), "c": ("131000.x", "v" * 64)}
    machine.check_ids(["a", "new"], registered, pack="131000.x")
    for clause in ("b", "c"):
        with pytest.raises(ResourceExists):
            machine.check_ids([clause], registered, pack="131000.x")


def test_without_an_earlier_version_nothing_is_rolled_back() -> None:
    assert machine.rollback_target(["b", "a"], pack="p", wanted="") == "b"
    with pytest.raises(FieldInvalid):
        machine.rollback_target([], pack="p", wanted="c")


# --- the timeline ---------------------------------------------------------------------------------

LINES = st.lists(
    st.builds(
        Activation,
        pack=st.sampled_from(["131000.a", "131000.b"]),
        sequence=st.integers(1, 50),
        version=st.sampled_from(["", "1", "2", "3"]),
        kind=st.just(PublicationKind.PUBLISH),
        effective=st.integers(0, 8).map(lambda hours: NOW + hours * HOUR),
        withdrawn=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda line: (line.pack, line.sequence),
)


def naive(lines: list[Activation], pack: str, at: int) -> str:
    """Return what is in force by the definition: the greatest (effective, sequence) that counts."""
    counted = [
        line
        for line in lines
        if line.pack == pack and not line.withdrawn and line.effective <= NOW + at * HOUR
    ]
    found = max(counted, key=lambda line: (line.effective, line.sequence), default=None)
    return found.version if found is not None else ""


@given(LINES, st.integers(-1, 9))
def test_what_is_in_force_is_the_newest_line_that_counts(lines: list[Activation], at: int) -> None:
    instant = NOW + at * HOUR
    for pack in ("131000.a", "131000.b"):
        assert version_of(lines, pack=pack, at=instant) == naive(lines, pack, at)


@given(LINES, st.integers(-1, 9), st.integers(-1, 9))
def test_the_timeline_says_the_same_at_every_instant(
    lines: list[Activation], since: int, later: int
) -> None:
    start, instant = NOW + since * HOUR, NOW + max(since, later) * HOUR
    found = timeline(lines, since=start)
    assert [entry.since for entry in found] == sorted({entry.since for entry in found})
    present = [entry for entry in found if entry.since <= instant][-1]
    assert dict(present.versions) == dict(in_force(lines, instant))
