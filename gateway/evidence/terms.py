"""Terms out of statements: who held a ticket at which epoch, as anybody can recompute it.

Part of the verifier (docs/evidence.md#steps): steps 4 to 7 and 11. The definitions are those of
docs/custody.md#records. It knows statements only, no ledger and no database, and shares no code
with what made the records but the arithmetic of a record itself.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.custody import bodies
from gateway.custody.chains import is_in_scope, may_begin
from gateway.custody.model import ChainKey, Verdict
from gateway.evidence.dossier import Broken, ChainName, Check, Evidence, Flaw, Passed, Term
from gateway.evidence.spoken import Heard, Spoken
from gateway.evidence.verdict import Text
from gateway.kernel.ids import GENESIS, NATION, AuthorityCode, Epoch
from gateway.kernel.time import Instant
from gateway.trust.statements import record

# Kinds of which an authority makes one an epoch, for ever.
_ONCE = frozenset({"Genesis", "Offer", "Answer", "Revoke", "Release", "Ruling", "RulingAck"})
# A RulingAck that only passes a ruling on, or says that it came too late, answers nothing.
_PASSING = frozenset({bodies.Role.OUTDATED, bodies.Role.TOLD})


@dataclass(slots=True)
class Story:
    """The statements of one chain by kind, and the terms that they establish."""

    chain: ChainName
    said: dict[str, list[Spoken]] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    rulings: dict[int, list[Spoken]] = field(default_factory=dict)
    taken: dict[int, Spoken] = field(default_factory=dict)
    _at: dict[Epoch, list[Term]] = field(default_factory=dict)
    _epochs: list[Epoch] = field(default_factory=list)

    def of(self, kind: str) -> list[Spoken]:
        """Return the statements of a kind, by epoch."""
        return self.said.get(kind, [])

    def add(self, term: Term) -> None:
        """Take a term that holds."""
        self.terms.append(term)
        if term.epoch not in self._at:
            insort(self._epochs, term.epoch)
        self._at.setdefault(term.epoch, []).append(term)

    def before(self, epoch: Epoch, *, era: int | None = None) -> list[Term]:
        """Return the terms at the greatest epoch below `epoch`, of one era or of any."""
        place = bisect_left(self._epochs, epoch)
        last = self._epochs[place - 1] if place else None
        if last is None or (era is not None and last.era != era):
            return []
        return self._at[last]


def stories(heard: Heard, files: Sequence[Evidence]) -> tuple[list[Story], Passed]:
    """Establish the terms of every chain (step 4)."""
    times = _recorded(files)
    found: dict[ChainName, Story] = {}
    for spoken in sorted(
        heard.every.values(), key=lambda item: (item.statement.epoch, item.digest)
    ):
        story = found.setdefault(spoken.chain, Story(spoken.chain))
        if spoken.body is not None:
            story.said.setdefault(spoken.statement.kind, []).append(spoken)
    for story in found.values():
        _begin(story, times)
        _take(story, times)
        _hand_over(story, times)
    told = sorted(found.values(), key=lambda story: str(story.chain))
    return told, Passed(Check.RECORDS, sum(len(story.terms) for story in told))


def _recorded(files: Sequence[Evidence]) -> Mapping[tuple[str, bytes], Instant]:
    return {
        (evidence.authority, row.subject): row.recorded
        for evidence in files
        for ticket in evidence.tickets
        for row in ticket.rows
    }


def _since(
    times: Mapping[tuple[str, bytes], Instant], holder: AuthorityCode, spoken: Spoken
) -> Instant:
    return times.get((holder, spoken.digest), spoken.statement.issued)


def _begin(story: Story, times: Mapping[tuple[str, bytes], Instant]) -> None:
    for spoken in story.of("Genesis"):
        body, said = spoken.body, spoken.statement
        key = ChainKey(said.issuer, said.ticket, said.scope, said.chain)
        is_sound = (
            isinstance(body, bodies.Genesis)
            and said.epoch == GENESIS
            and body.origin == said.issuer
            and may_begin(said.issuer, key)
        )
        if not is_sound:
            raise _broken(
                Check.RECORDS,
                spoken,
                Text("此机构不得起始该链", "the chain may not begin there"),
                got=said.issuer,
                expected=f"0.0, {said.ticket[:4]}00 / {said.scope}",
            )
        story.add(
            Term(
                chain=story.chain,
                epoch=GENESIS,
                holder=said.issuer,
                record=record(previous_record=None, first_digest=spoken.digest, second_digest=None),
                how="Genesis",
                source=None,
                first=spoken.digest,
                second=b"",
                since=_since(times, said.issuer, spoken),
            )
        )


def _take(story: Story, times: Mapping[tuple[str, bytes], Instant]) -> None:
    for spoken in story.of("Ruling"):
        if isinstance(spoken.body, bodies.Ruling):
            story.rulings.setdefault(spoken.body.number, []).append(spoken)
    for ack in story.of("RulingAck"):
        body = ack.body
        if not isinstance(body, bodies.RulingAck) or body.role is not bodies.Role.TAKEN:
            continue
        ruling = next(
            (
                item
                for item in story.rulings.get(body.number, ())
                if item.digest == body.ruling_digest
            ),
            None,
        )
        given = ruling.body if ruling is not None else None
        if (
            ruling is None
            or not isinstance(given, bodies.Ruling)
            or ack.statement.issuer != given.target
            or ack.statement.epoch != Epoch(body.number, 0)
        ):
            raise _broken(
                Check.RECORDS,
                ack,
                Text("承接声明没有对应的裁定", "TAKEN without the ruling that it answers"),
                got=body.ruling_digest.hex(),
                expected=f"Ruling {body.number} -> {ack.statement.issuer}",
            )
        story.taken[body.number] = ack
        story.add(
            Term(
                chain=story.chain,
                epoch=Epoch(body.number, 0),
                holder=given.target,
                record=record(
                    previous_record=given.last_record or None,
                    first_digest=ruling.digest,
                    second_digest=ack.digest,
                ),
                how="Ruling",
                source=None,
                first=ruling.digest,
                second=ack.digest,
                since=_since(times, given.target, ack),
                prior=given.last_record,
            )
        )


def _hand_over(story: Story, times: Mapping[tuple[str, bytes], Instant]) -> None:
    offers = {spoken.digest: spoken for spoken in story.of("Offer")}
    for answer in story.of("Answer"):
        body, epoch = answer.body, answer.statement.epoch
        if not isinstance(body, bodies.Answer):
            continue
        offer = offers.get(body.offer_digest)
        given = offer.body if offer is not None else None
        if body.verdict is not Verdict.ACCEPTED and offer is None:
            continue  # a Revoke that came before its Offer, or an offer that the file does not have
        if (
            offer is None
            or not isinstance(given, bodies.Offer)
            or given.target != answer.statement.issuer
            or offer.statement.epoch != epoch
        ):
            raise _broken(
                Check.RECORDS,
                answer,
                Text("答复没有对应的移交声明", "an answer without the offer that it answers"),
                got=str(offer) if offer is not None else "-",
                expected=f"Offer {body.offer_digest.hex()[:12]}",
            )
        if body.verdict is not Verdict.ACCEPTED:
            continue
        if epoch.era and epoch.era not in story.taken:
            continue  # step 6 says so
        _add_term(story, offer, answer, given, times)


def _add_term(
    story: Story,
    offer: Spoken,
    answer: Spoken,
    given: bodies.Offer,
    times: Mapping[tuple[str, bytes], Instant],
) -> None:
    epoch, source = offer.statement.epoch, offer.statement.issuer
    before = story.before(epoch, era=epoch.era)
    known = [f"{term.epoch} {term.holder} {term.record.hex()}" for term in before]
    if not any(term.record == given.prior_record and term.holder == source for term in before):
        raise _broken(
            Check.RECORDS,
            offer,
            Text(
                "移交不接在前一任期之后", "the hand-over does not follow the term directly before"
            ),
            got=f"{source} {given.prior_record.hex()}",
            expected=" | ".join(known) or f"{epoch.era}.0",
        )
    story.add(
        Term(
            chain=story.chain,
            epoch=epoch,
            holder=given.target,
            record=record(
                previous_record=given.prior_record,
                first_digest=offer.digest,
                second_digest=answer.digest,
            ),
            how="Offer",
            source=source,
            first=offer.digest,
            second=answer.digest,
            since=_since(times, given.target, answer),
            prior=given.prior_record,
        )
    )


# --- step 5: rulings ----------------------------------------------------------------------------


def check_rulings(told: Iterable[Story]) -> Passed:
    """Check that each ruling is of the scope's arbiter and names the one before."""
    remarks: list[Text] = []
    examined = 0
    for story in told:
        known = {term.record for term in story.terms}
        for number, found in sorted(story.rulings.items()):
            for spoken in found:
                examined += 1
                _check_ruling(story, spoken, number)
                remarks += _missing_before(story, spoken, number, known)
    return Passed(Check.RULINGS, examined, tuple(remarks))


def _check_ruling(story: Story, spoken: Spoken, number: int) -> None:
    body, said = spoken.body, spoken.statement
    if not isinstance(body, bodies.Ruling):
        return
    if said.issuer != said.scope or not is_in_scope(body.target, said.scope):
        raise _broken(
            Check.RULINGS,
            spoken,
            Text("裁定不出自该范围的裁定机构", "a ruling of another than the scope's arbiter"),
            got=f"{said.issuer} -> {body.target}",
            expected=said.scope,
        )
    if said.epoch != Epoch(number, 0):
        raise _broken(
            Check.RULINGS,
            spoken,
            Text("裁定序号与纪元不符", "number and epoch of a ruling differ"),
            got=str(said.epoch),
            expected=f"{number}.0",
        )
    before = story.rulings.get(number - 1, [])
    is_named = body.previous in {item.digest for item in before} if before else bool(body.previous)
    if is_named is (number == 1):
        raise _broken(
            Check.RULINGS,
            spoken,
            Text("裁定未指明前一裁定", "the ruling does not name the one before"),
            got=body.previous.hex() or "-",
            expected=" | ".join(item.digest.hex() for item in before) or "-",
        )


def _missing_before(
    story: Story, spoken: Spoken, number: int, known: Collection[bytes]
) -> list[Text]:
    body, chain = spoken.body, story.chain
    remarks = []
    if number > 1 and number - 1 not in story.rulings:
        remarks.append(
            Text(
                f"{chain}：文件中没有第 {number - 1} 号裁定",
                f"{chain}: ruling {number - 1} is not in the files",
            )
        )
    if isinstance(body, bodies.Ruling) and body.last_record and body.last_record not in known:
        remarks.append(
            Text(
                f"{chain}：第 {number} 号裁定所指任期不在文件中",
                f"{chain}: the term that ruling {number} names is not in the files",
            )
        )
    return remarks


# --- step 6: every era was taken ----------------------------------------------------------------


def check_taken(told: Iterable[Story]) -> Passed:
    """Check that whatever happened in an era rests on a TAKEN of its ruling."""
    remarks: list[Text] = []
    examined = 0
    for story in told:
        for spoken in (*story.of("Offer"), *story.of("Answer")):
            era = spoken.statement.epoch.era
            body = spoken.body
            is_custody = not isinstance(body, bodies.Answer) or body.verdict is Verdict.ACCEPTED
            if era and is_custody and era not in story.taken:
                raise _broken(
                    Check.TAKEN,
                    spoken,
                    Text("该纪元没有承接声明", "nobody took the ticket in that era"),
                    got=f"{era}.0 -",
                    expected=f"RulingAck TAKEN {era}",
                )
        examined += len(story.taken)
        for number in sorted(story.rulings.keys() - story.taken.keys()):
            what = Text("尚未承接", "not taken yet")
            if any(later > number for later in story.rulings):
                what = Text("未承接即被取代", "overtaken before anybody took it")
            remarks.append(
                Text(
                    f"{story.chain}：第 {number} 号裁定{what.chinese}",
                    f"{story.chain}: ruling {number} was {what.english}",
                )
            )
    return Passed(Check.TAKEN, examined, tuple(remarks))


# --- step 7: one term an epoch, one word an epoch ------------------------------------------------


def check_epochs(told: Iterable[Story]) -> Passed:
    """Check that no epoch has two terms, and nobody said two things where one is allowed."""
    examined = 0
    for story in told:
        only: dict[tuple[str, str, Epoch], Spoken] = {}
        for spoken in (item for kind in sorted(_ONCE) for item in story.of(kind)):
            examined += 1
            if is_passing(spoken):
                continue
            said = spoken.statement
            twin = only.setdefault((said.kind, said.issuer, said.epoch), spoken)
            if twin is not spoken:
                raise _broken(
                    Check.EPOCHS,
                    spoken,
                    Text(
                        "同一机构在同一纪元作了两份不同声明（分叉）",
                        "one authority said two things at one epoch (a fork)",
                    ),
                    got=spoken.digest.hex(),
                    expected=twin.digest.hex(),
                )
        held: dict[Epoch, Term] = {}
        for term in story.terms:
            other = held.setdefault(term.epoch, term)
            if other is not term:
                raise Broken(
                    Flaw(
                        Check.EPOCHS,
                        f"{story.chain} {term.epoch}",
                        Text("同一纪元有两个任期", "two terms at one epoch"),
                        got=f"{term.holder} {term.record.hex()}",
                        expected=f"{other.holder} {other.record.hex()}",
                    )
                )
    return Passed(Check.EPOCHS, examined)


def is_passing(spoken: Spoken) -> bool:
    """Tell whether a statement only passes on what others said."""
    return isinstance(spoken.body, bodies.RulingAck) and spoken.body.role in _PASSING


# --- step 11: overtaken tails -------------------------------------------------------------------


def check_tails(told: Iterable[Story], files: Sequence[Evidence]) -> Passed:
    """Look for the StandDown of each custodian whom a ruling overtook; acts in it must be real."""
    acts = {
        (evidence.authority, row.chain, row.sequence): row
        for evidence in files
        for ticket in evidence.tickets
        for row in ticket.rows
    }
    # A file of another ticket, or one exported before it was said, cannot have those rows.
    shown: dict[tuple[str, str], Instant] = {}
    for evidence in files:
        for ticket in evidence.tickets:
            place = (evidence.authority, ticket.ticket)
            shown[place] = max(evidence.exported, shown.get(place, evidence.exported))
    remarks: list[Text] = []
    examined = 0
    for story in told:
        for spoken in story.of("StandDown"):
            examined += 1
            body = spoken.body
            issuer = spoken.statement.issuer
            # A province lists outside what was done inside, by its cities too: other rows.
            is_inside = story.chain.scope != NATION
            seen = shown.get((issuer, story.chain.ticket))
            is_shown = seen is not None and seen >= spoken.statement.issued
            if not (isinstance(body, bodies.StandDown) and is_inside and is_shown):
                continue
            for act in body.acts:
                row = acts.get((issuer, story.chain, act.row))
                if row is None or (row.epoch, row.subject) != (act.epoch, act.digest):
                    raise _broken(
                        Check.TAILS,
                        spoken,
                        Text(
                            "交卸声明所列行为不在其账本中",
                            "the StandDown lists an act that its ledger does not have",
                        ),
                        got=f"#{act.row} {act.kind} {act.digest.hex()}",
                        expected=f"#{act.row} {row.subject.hex()}" if row else "-",
                    )
        remarks += _open_tails(story)
    return Passed(Check.TAILS, examined, tuple(remarks))


def _open_tails(story: Story) -> list[Text]:
    overtaken = [
        old
        for term in story.terms
        if term.how == "Ruling"
        for old in story.before(term.epoch)
        if old.holder != term.holder
    ]
    parts = _parts(story)
    return [
        Text(
            f"{story.chain}：第 {old.epoch.era} 纪元的尾部未关闭"
            f"（{old.holder} 未就 {old.epoch} 交卸）",
            f"{story.chain}: tail of era {old.epoch.era} not closed"
            f" ({old.holder} has not stood down from {old.epoch})",
        )
        for old in overtaken
        if not _is_whole(parts.get((old.holder, old.epoch), {}))
    ]


def _parts(story: Story) -> Mapping[tuple[str, Epoch], Mapping[int, bool]]:
    """Return the parts of each StandDown, by who stood down from what: which are final."""
    parts: dict[tuple[str, Epoch], dict[int, bool]] = {}
    for spoken in story.of("StandDown"):
        if isinstance(spoken.body, bodies.StandDown):
            place = (spoken.statement.issuer, spoken.body.last_epoch)
            parts.setdefault(place, {})[spoken.body.part] = spoken.body.final
    return parts


def _is_whole(parts: Mapping[int, bool]) -> bool:
    last = max((part for part, is_final in parts.items() if is_final), default=0)
    return 0 < last <= len(parts) and parts.keys() >= set(range(1, last + 1))


def _broken(
    check: Check, spoken: Spoken, what: Text, *, got: str = "", expected: str = ""
) -> Broken:
    return Broken(Flaw(check, str(spoken), what, got=got, expected=expected))
