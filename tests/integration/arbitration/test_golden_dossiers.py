"""Dossiers that lie in the repository verify for ever, and no changed byte of them goes unseen.

`make golden` writes them anew from a dispute with fixed keys; every other run only verifies what
lies there: a dossier of today must verify in ten years. The keys are thrown away: they sign nothing
but these files (tests/golden/dossiers/README.md).
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arbitration.dossiers.codec import read_dossier
from gateway.arbitration.dossiers.model import CaseCheck, CaseVerdict, OwnCase
from gateway.arbitration.dossiers.verify import verify_dossiers
from gateway.cli.main import main
from gateway.database.memory import MemoryDatabase
from gateway.evidence.verify import NamedFile
from gateway.kernel.ids import NATION, SystemIds
from gateway.trust.codec import roster_from_bytes, signed_roster_from_bytes
from gateway.trust.key_files import save_public_key
from gateway.trust.keys import Purpose, generate
from gateway.trust.principal import Role
from gateway.trust.roster import Roster
from gateway.trust.roster_file import sign_roster
from tests.contract.arbitration.court import a_court, a_judge
from tests.fixtures import dossiers
from tests.fixtures.dossiers import dossier_of
from tests.fixtures.golden import ROOT, Golden
from tests.fixtures.nodes import a_person
from tests.integration.arbitration.test_dossiers import ALL, ruled
from tests.integration.arbitration.test_parties_elsewhere import a_dispute
from tests.simulation.seeded import SeededIds

FOLDER = ROOT / "tests" / "golden" / "dossiers"
NAMES = (*(f"provinces.{code}" for code in ALL), "units.131000")
SEED = 6  # of every key and number in the files
STRIDE = 97  # bytes between those that one test flips


def golden_file(name: str) -> Path:
    return FOLDER / f"{name}.dossier.binpb"


def roster_file(group: str) -> Path:
    return FOLDER / f"{group}.roster.binpb"


def roster_of(group: str) -> Roster:
    signed = roster_file(group).read_bytes()
    return roster_from_bytes(signed_roster_from_bytes(signed)[0])


def check(name: str, raw: bytes) -> CaseVerdict:
    return verify_dossiers([NamedFile(name, raw)], [roster_of(name.partition(".")[0])])


# --- written by `make golden` ---------------------------------------------------------------------


@pytest.fixture
def fixed_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the same keys, numbers and salts to everybody."""
    seeded = SeededIds(random.Random(SEED))
    monkeypatch.setattr(SystemIds, "uuid7", lambda _self, now: seeded.uuid7(now))
    monkeypatch.setattr(SystemIds, "entropy", lambda _self, size: seeded.entropy(size))
    monkeypatch.setattr(dossiers, "ROSTER_KEY", generate(Purpose.STATEMENT, seeded))


@pytest.mark.golden
@pytest.mark.usefixtures("fixed_entropy")
async def test_dossiers_of_provinces_are_written(golden: Golden) -> None:
    if not golden.is_update:
        pytest.skip("written by `make golden`")
    FOLDER.mkdir(parents=True, exist_ok=True)
    dispute = await a_dispute()
    name = await ruled(dispute)
    for authority in ALL:
        role = Role.PANEL_MEMBER if authority == NATION else Role.SUPERVISOR
        dispute.caller = a_person(authority, role)
        raw = await dossier_of(dispute.rooms[authority], authority, name)
        golden_file(f"provinces.{authority}").write_bytes(raw)
    _write_roster("provinces", dispute.federation.roster)


@pytest.mark.golden
@pytest.mark.usefixtures("fixed_entropy")
async def test_dossiers_of_units_are_written(golden: Golden) -> None:
    if not golden.is_update:
        pytest.skip("written by `make golden`")
    FOLDER.mkdir(parents=True, exist_ok=True)
    court = await a_court(MemoryDatabase())
    case = await court.ruled(await court.disputed(await court.submit("T-1")))
    court.caller = a_judge()
    raw = await dossier_of(court.room, "131000", case.name)
    golden_file("units.131000").write_bytes(raw)
    _write_roster("units", court.office.federation.roster)


def _write_roster(group: str, roster: Roster) -> None:
    roster_file(group).write_bytes(sign_roster(roster, dossiers.ROSTER_KEY))
    save_public_key(FOLDER / "roster-key.pub", dossiers.ROSTER_KEY.public)


# --- verified by everybody ------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_golden_dossier_verifies_offline(name: str) -> None:
    verdict = check(name, golden_file(name).read_bytes())
    assert verdict.flaw is None
    assert [step.check for step in verdict.passed] == list(CaseCheck)
    assert verdict.rulings
    assert verdict.is_anchored


def test_the_golden_dossiers_of_all_sides_agree() -> None:
    files = [NamedFile(code, golden_file(f"provinces.{code}").read_bytes()) for code in ALL]
    verdict = verify_dossiers(files, [roster_of("provinces")])
    assert verdict.flaw is None
    assert {ruling.target for ruling in verdict.rulings} == {"310000"}


def test_the_command_verifies_them_with_the_key_of_the_roster_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [str(golden_file(f"provinces.{code}")) for code in ALL]
    key = str(FOLDER / "roster-key.pub")
    assert main(["case", "verify", *paths, "--key", key]) == 0
    assert "各方案卷逐字节一致" in capsys.readouterr().out
    roster = str(roster_file("provinces"))
    assert main(["case", "verify", paths[0], "--roster", roster, "--key", key, "--json"]) == 0
    assert '"holds": true' in capsys.readouterr().out
    units = str(golden_file("units.131000"))
    assert main(["case", "verify", units, "--key", key]) == 0


def test_the_command_names_the_first_flaw_and_answers_no(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = bytearray(golden_file("provinces.100000").read_bytes())
    raw[-20] ^= 1  # in the signature of the seal
    file = tmp_path / "changed.binpb"
    file.write_bytes(raw)
    assert main(["case", "verify", str(file), "--roster", str(roster_file("provinces"))]) == 1
    out = capsys.readouterr().out
    assert "12  ✗  文件封印成立" in out
    assert main(["case", "verify", str(tmp_path / "none")]) == 2
    assert main(["case", "verify"]) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit_anywhere_is_found(name: str) -> None:
    raw = golden_file(name).read_bytes()
    for place in range(0, len(raw), STRIDE):
        changed = bytearray(raw)
        changed[place] ^= 1 << (place % 8)
        assert check(name, bytes(changed)).flaw is not None, place


@given(st.data())
def test_any_changed_byte_of_any_file_is_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    raw = bytearray(golden_file(name).read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    assert check(name, bytes(raw)).flaw is not None


@given(st.data())
def test_bytes_that_are_left_out_put_in_or_swapped_are_found(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NAMES))
    raw = golden_file(name).read_bytes()
    begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(raw))] * 2)))
    part = data.draw(st.sampled_from((b"", b"\0", raw[begin:end] * 2, raw[begin:end][::-1])))
    changed = raw[:begin] + part + raw[end:]
    assert changed == raw or check(name, changed).flaw is not None


@given(st.binary(max_size=400))
def test_a_file_of_anything_is_no_dossier_and_no_crash(raw: bytes) -> None:
    verdict = check(NAMES[0], raw)
    assert verdict.flaw is not None
    assert verdict.flaw.check is CaseCheck.FILE


def test_a_case_of_units_is_signed_by_its_authority_alone() -> None:
    dossier = read_dossier(golden_file("units.131000").read_bytes())
    assert not dossier.entries
    assert isinstance(dossier.told, OwnCase)
