"""From nothing to a node that its doctor calls healthy, with the command alone."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import load_settings
from gateway.trust.key_ring import KeyRing
from tests.unit.cli.builders import Command, a_node_folder, sign_roster


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


def levels(out: str) -> dict[str, str]:
    """Return the worst level of each check."""
    rank = {"OK": 0, "WARN": 1, "FAIL": 2}
    found: dict[str, str] = {}
    for row in json.loads(out):
        if rank[row["level"]] >= rank[found.get(row["check"], "OK")]:
            found[row["check"]] = row["level"]
    return found


def test_init_makes_a_closed_folder_with_keys_of_every_hosted_authority(
    tmp_path: Path, run: Command
) -> None:
    folder = a_node_folder(run, tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    settings = load_settings(folder)
    assert settings.hosts == ("130000", "131000")
    assert set(KeyRing.load(settings.keys_path).codes()) == {"130000", "131000"}


def test_init_never_touches_an_existing_node(tmp_path: Path, run: Command) -> None:
    folder = a_node_folder(run, tmp_path)
    before = (folder / "node.toml").read_bytes()
    answer = run("init", folder, "--authority", "130000", "--endpoint", "x:1")
    assert answer.code == 1
    assert "RESOURCE_EXISTS" in answer.err
    assert (folder / "node.toml").read_bytes() == before


def test_a_wrong_endpoint_leaves_nothing_behind(tmp_path: Path, run: Command) -> None:
    answer = run("init", tmp_path / "n", "--authority", "130000", "--endpoint", "nowhere")
    assert answer.code == 2
    assert "endpoint" in answer.err
    assert run("init", tmp_path / "n", "--authority", "130000", "--endpoint", "a:1").code == 0


def test_the_doctor_finds_a_fresh_node_healthy_but_for_the_database_that_is_not_up(
    tmp_path: Path, run: Command
) -> None:
    folder = a_node_folder(run, tmp_path)
    answer = run("doctor", folder, "--json")
    found = levels(answer.out)
    assert answer.code == 0, answer.out
    assert found["database"] == "WARN"
    assert {found[name] for name in ("config", "permissions", "keys", "certificate")} == {"OK"}
    assert found["roster"] == "OK"


def test_the_doctor_names_keys_that_the_roster_does_not_list(tmp_path: Path, run: Command) -> None:
    folder = a_node_folder(run, tmp_path)
    run.ok(
        *("init", tmp_path / "other", "--authority", "130000", "--hosts", "130000,131000"),
        *("--endpoint", "127.0.0.1:1"),
    )
    shutil.copyfile(tmp_path / "other" / "public.yaml", folder / "foreign.yaml")
    sign_roster(run, tmp_path, version=2, public="foreign.yaml")
    answer = run("--lang", "en", "doctor", folder, "--json")
    assert answer.code == 1
    assert levels(answer.out)["roster"] == "FAIL"
    assert "other keys are listed for 130000" in answer.out


def test_the_doctor_goes_on_after_a_broken_part(tmp_path: Path, run: Command) -> None:
    folder = a_node_folder(run, tmp_path)
    (folder / "roster.binpb").write_bytes(b"no roster")
    (folder / "keys" / "storage" / "0001.key").chmod(0o644)
    answer = run("doctor", folder, "--json")
    found = levels(answer.out)
    assert answer.code == 1
    assert (found["keys"], found["roster"], found["certificate"]) == ("FAIL", "FAIL", "OK")


def test_the_doctor_names_every_problem_of_a_broken_config(tmp_path: Path, run: Command) -> None:
    (tmp_path / "node.toml").write_text('node_id = "A"\nunknown = 1\n', encoding="utf-8")
    answer = run("doctor", tmp_path, "--json")
    assert answer.code == 1
    assert len(json.loads(answer.out)) >= 6


def test_a_signed_roster_is_shown_and_a_foreign_key_does_not_verify_it(
    tmp_path: Path, run: Command
) -> None:
    folder = a_node_folder(run, tmp_path, version=7)
    shown = json.loads(run.ok("roster", "show", folder / "roster.binpb", "--json"))
    assert shown["version"] == 7
    assert [node["hosts"] for node in shown["nodes"]] == [["130000", "131000"]]
    run.ok("roster", "keygen", tmp_path / "foreign")
    key = tmp_path / "foreign" / "roster-key.pem"
    answer = run("roster", "show", folder / "roster.binpb", "--key", key)
    assert answer.code == 1
    assert "SIGNATURE_INVALID" in answer.err


def test_issued_certificates_are_listed_and_can_be_revoked(tmp_path: Path, run: Command) -> None:
    root, ca = tmp_path / "root", tmp_path / "ca"
    run.ok("ca", "init", root)
    run.ok("ca", "init", ca, "--name", "120000")
    run.ok(
        *("ca", "issue", ca, "staff", "p1", "--role", "dispatcher", "--role", "clerk"),
        *("--out", tmp_path / "p1", "--root", root / "ca.pem"),
    )
    assert {path.name for path in (tmp_path / "p1").iterdir()} == {"cert.pem", "key.pem", "ca.pem"}
    rows = json.loads(run.ok("ca", "list", ca, "--json"))
    assert rows[0]["roles"] == "clerk dispatcher"
    run.ok("ca", "revoke", ca, rows[0]["serial"])
    assert rows[0]["serial"] in (ca / "revoked.json").read_text(encoding="utf-8")
    assert run("ca", "revoke", ca, "abc").code == 1


def test_a_certificate_for_staff_needs_a_role(tmp_path: Path, run: Command) -> None:
    run.ok("ca", "init", tmp_path / "ca", "--name", "120000")
    answer = run("ca", "issue", tmp_path / "ca", "staff", "p1", "--out", tmp_path / "p1")
    assert answer.code == 2
    assert "--role" in answer.err


def test_a_broken_roster_description_names_every_problem(tmp_path: Path, run: Command) -> None:
    run.ok("roster", "keygen", tmp_path)
    description = tmp_path / "r.yaml"
    description.write_text(
        "nodes: [{id: a}]\nauthorities: [{code: '12'}, {code: '120000', node: a, public: no}]\n",
        encoding="utf-8",
    )
    answer = run(
        *("roster", "sign", description, "--key", tmp_path / "roster-key-private.pem"),
        *("--out", tmp_path / "r.binpb"),
    )
    assert answer.code == 2
    for place in ("node a", "authority 12", "authority 120000", "version"):
        assert place in answer.err
    assert not (tmp_path / "r.binpb").exists()


def test_messages_are_chinese_unless_english_is_asked_for(tmp_path: Path, run: Command) -> None:
    chinese = run("ca", "list", tmp_path / "none")
    english = run("--lang", "en", "ca", "list", tmp_path / "none")
    assert chinese.code == english.code == 2
    assert "没有文件" in chinese.err
    assert "There is no file" in english.err


def test_a_node_that_lacks_an_input_leaves_no_folder_behind(tmp_path: Path, run: Command) -> None:
    command = ("init", tmp_path / "node", "--authority", "120000", "--endpoint", "127.0.0.1:1")
    for option in ("--roster-key", "--trust", "--ca"):
        assert run(*command, option, tmp_path / "none").code == 2
        assert not (tmp_path / "node").exists()
    run.ok(*command)


def test_the_doctor_misses_the_key_of_the_roster(tmp_path: Path, run: Command) -> None:
    folder = a_node_folder(run, tmp_path)
    (folder / "roster-key.pem").unlink()
    answer = run("doctor", folder, "--json")
    assert answer.code == 1
    assert levels(answer.out)["roster"] == "FAIL"


def test_an_unknown_kind_of_adapter_is_no_defect(tmp_path: Path, run: Command) -> None:
    answer = run("adapter", "check", "nonsense", tmp_path)
    assert (answer.code, "nonsense" in answer.err) == (1, True)


def test_wrong_usage_has_exit_code_two(run: Command) -> None:
    assert run("ca", "issue").code == 2
    assert run("nonsense").code == 2


def test_the_installed_command_starts(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.cli.main", "ca", "init", str(tmp_path / "root")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "已创建 federation 的证书机构" in done.stderr
    assert (tmp_path / "root" / "ca.pem").exists()
