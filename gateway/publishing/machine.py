"""The steps of a version: pure, each returns the new version or raises and changes nothing.

Who may do what (docs/publishing.md#who): a rule editor of the owner writes, a rule approver who is
another person approves, and either of them publishes what was approved. A rollback needs no second
person, because it only brings back what two persons stood for before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.kernel.codes import RulePackState
from gateway.kernel.errors import (
    EtagMismatch,
    FieldInvalid,
    PeerNotAllowed,
    ResourceExists,
    RoleMissing,
    TransitionNotAllowed,
)
from gateway.kernel.time import Instant
from gateway.kernel.values import replace
from gateway.publishing.model import NO_VERSION, Publication, Version
from gateway.publishing.states import VERSION, Step, allowed_steps


def moved(version: Version, step: Step, *, now: Instant) -> Version:
    """Return the version after a step.

    Raises:
        TransitionNotAllowed: the table has no such step.
    """
    after = VERSION.get((version.state, step))
    if after is None or (step is Step.RESTORE and version.effective is None):
        raise TransitionNotAllowed(
            name=version.name,
            state=version.state.name,
            event=step.value,
            allowed="; ".join(allowed_steps(version.state)) or "nothing",
        )
    return replace(version, state=after, revision=version.revision + 1, changed=now)


def check_etag(version: Version, etag: str) -> None:
    """Return if the caller saw the version as it is, or does not care.

    Raises:
        EtagMismatch: it changed.
    """
    if etag and etag != version.etag:
        raise EtagMismatch(name=version.name, got=etag, expected=version.etag)


def check_owner(owner: str, *, authority: str, principal: str) -> None:
    """Return if a person of `authority` may touch packs of `owner`.

    Raises:
        PeerNotAllowed: the pack is another authority's.
    """
    if owner != authority:
        raise PeerNotAllowed(
            principal=principal, got=f"a pack of {owner}", expected=f"a pack of {authority}"
        )


def checked(version: Version, *, errors: int, findings: int, now: Instant) -> Version:
    """Return the version after a check; one that stays as it is keeps its revision."""
    after = moved(version, Step.FAULTY if errors else Step.SOUND, now=now)
    if after.state is version.state and version.finding_count == findings:
        return version
    return replace(after, finding_count=findings)


def approved(version: Version, *, approver: str, now: Instant) -> Version:
    """Return the version after a second person approved it.

    Raises:
        RoleMissing: it is the person who wrote it.
    """
    after = moved(version, Step.APPROVE, now=now)
    if approver == version.editor:
        raise RoleMissing(
            principal=approver,
            method="ApproveRulePack",
            got="the editor of this version",
            expected="another person with the role rule-approver",
            hint="编写人不能审核自己编写的版本，请由另一位规则审核人员审核",
        )
    return replace(after, approver=approver)


def published(
    version: Version, *, effective: Instant, reason: str, now: Instant
) -> tuple[Version, tuple[Step, ...]]:
    """Return a version that was signed for `effective`, and the steps that led there."""
    second = Step.ACTIVATE if effective <= now else Step.SCHEDULE
    signed = moved(version, Step.SIGN, now=now)
    after = moved(signed, second, now=now)
    return replace(after, effective=effective, reason=reason), (Step.SIGN, second)


def rollback_target(earlier: Sequence[str], *, pack: str, wanted: str) -> str:
    """Return the version that a rollback brings back: the newest of those that were in force.

    Args:
        earlier: versions that were in force and are not now, the newest first; if one is wanted,
            those whose beginning it is.
        pack: for the text of the error.
        wanted: the beginning of a version, or nothing.

    Raises:
        FieldInvalid: there is none.
    """
    if not earlier:
        raise FieldInvalid(
            field="version",
            got=wanted or "nothing",
            expected=f"a version of {pack} that was in force and is not now",
            hint=f"`lubiao rules history {pack}` lists them",
        )
    return earlier[0]


def check_ids(
    ids: Iterable[str],
    registered: Mapping[str, tuple[str, str]],
    *,
    pack: str,
) -> None:
    """Return if every id is new, or belongs to this pack and was not given up.

    Args:
        ids: of the rules and guards of a version.
        registered: for ids that are known, their pack and the version that left them out.
        pack: the version's.

    Raises:
        ResourceExists: an id belongs to another pack, or was given up.
    """
    for clause in ids:
        known = registered.get(clause)
        if known is None:
            continue
        holder, dropped = known
        if holder != pack or dropped != NO_VERSION:
            since = f", given up by version {dropped[:12]}" if dropped else ""
            raise ResourceExists(
                kind="rule id",
                name=f"{clause} (of {holder}{since})",
                hint="an id is never used again; give the rule a new one",
            )


def check_import(
    publication: Publication, *, version: str, newest: int, now: Instant, hosted: Iterable[str]
) -> None:
    """Return if a signed publication from elsewhere may be taken; the signature was verified.

    Raises:
        PeerNotAllowed: its owner lives here, or has no say here.
        FieldInvalid: it is of other bytes, expired, a replay, or of one person alone.
    """
    if publication.owner in hosted:
        raise PeerNotAllowed(
            principal=publication.publisher,
            got=f"an import for {publication.owner}, which lives here",
            expected="PublishRulePack",
        )
    problem = ""
    if publication.version != version:
        problem, expected = "version", "the digest of the source"
    elif publication.sequence <= newest:
        problem, expected = "sequence", f"a number above {newest}: this one was taken before"
    elif now > publication.expires:
        problem, expected = "expire_time", "a publication that has not expired"
    elif publication.version and publication.approver in {"", publication.editor}:
        problem, expected = "approver", "another person than the editor"
    if problem:
        got = publication.sequence if problem == "sequence" else "another"
        raise FieldInvalid(field=f"publication.{problem}", got=got, expected=expected)


def is_over(state: RulePackState) -> bool:
    """Tell whether a version is not in force and will not come into force by itself."""
    return state is RulePackState.RETIRED
