"""A configuration is right, or every problem of it is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import ConfigInvalid, load_settings
from gateway.settings import LogLevel, Settings
from gateway.trust.roster import NodeRole

GOOD = """
node_id = "hebei"
authority = "130000"
hosts = ["130000", "131000"]
roles = ["custodian"]
bind = "0.0.0.0:7443"
endpoint = "hebei.invalid:7443"
"""


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LUBIAO_LOG_LEVEL", "LUBIAO_DATABASE__DSN", "LUBIAO_DATABASE__KIND"):
        monkeypatch.delenv(name, raising=False)


def load(folder: Path, text: str) -> Settings:
    (folder / "node.toml").write_text(text, encoding="utf-8")
    return load_settings(folder)


def problems(folder: Path, text: str) -> dict[str, str]:
    with pytest.raises(ConfigInvalid) as refusal:
        load(folder, text)
    return {problem.field: problem.english() for problem in refusal.value.problems}


def test_a_short_file_is_enough(tmp_path: Path) -> None:
    settings = load(tmp_path, GOOD)
    assert settings.roles == {NodeRole.CUSTODIAN}
    assert settings.database.kind == "embedded"
    assert settings.keys_path == tmp_path.resolve() / "keys"


def test_the_environment_wins_and_leaves_the_rest_of_a_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUBIAO_LOG_LEVEL", "debug")
    monkeypatch.setenv("LUBIAO_DATABASE__DSN", "postgresql://db")
    text = GOOD + '[database]\nkind = "postgres"\nconnections_max = 7\n'
    settings = load(tmp_path, text)
    assert settings.log_level is LogLevel.DEBUG
    assert (settings.database.dsn, settings.database.connections_max) == ("postgresql://db", 7)


def test_every_problem_is_named_at_once_in_both_languages(tmp_path: Path) -> None:
    text = """
node_id = "Tian Jin"
authority = "12"
hosts = ["120000"]
roles = ["custodian", "hub"]
bind = "0.0.0.0"
log_level = "loud"
colour = "red"
[database]
kind = "postgres"
[metrics]
bind = "0.0.0.0:9000"
[clock]
rate = 60.0
[limits]
drain_seconds = -1
"""
    with pytest.raises(ConfigInvalid) as refusal:
        load(tmp_path, text)
    fields = {problem.field for problem in refusal.value.problems}
    assert fields == {
        *("node_id", "authority", "roles", "bind", "endpoint", "log_level", "colour"),
        *("database.dsn", "metrics.bind", "clock", "limits.drain_seconds"),
    }
    for field in fields:
        assert field in refusal.value.text()
        assert field in refusal.value.chinese_text()


@pytest.mark.parametrize(
    ("addition", "field"),
    [
        ('[database]\ndsn = "postgresql://db"\n', "database.dsn"),
        ('[directory]\nnode = "directory"\n', "directory"),
        ('[directory]\nendpoint = "a:1"\n', "directory"),
        ('[metrics]\nbind = "10.0.0.1:9000"\n', "metrics.bind"),
        ('[metrics]\nbind = "nowhere"\n', "metrics.bind"),
        ("[clock]\nstart = 2026-03-02T00:30:00Z\n", "clock"),
        ("[limits]\nunknown = 1\n", "limits.unknown"),
        ("[reports]\nepsilon = 0.0000001\n", "reports.epsilon"),
        ("[reports]\nbudget_year = inf\n", "reports.budget_year"),
    ],
)
def test_each_rule_between_fields_is_kept(tmp_path: Path, addition: str, field: str) -> None:
    assert set(problems(tmp_path, GOOD + addition)) == {field}


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('["130000", "131000"]', "[]", "hosts"),
        ('"hebei.invalid:7443"', '"hebei.invalid:0"', "endpoint"),
        ('"0.0.0.0:7443"', '"0.0.0.0:70000"', "bind"),
        ('["custodian"]', '["king"]', "roles.0"),
    ],
)
def test_a_wrong_value_is_named_by_its_place(
    tmp_path: Path, old: str, new: str, field: str
) -> None:
    found = problems(tmp_path, GOOD.replace(old, new))
    assert [name.partition(".")[0] for name in found] == [field.partition(".")[0]]


def test_a_rule_is_not_judged_by_a_field_that_is_wrong_itself(tmp_path: Path) -> None:
    text = GOOD + 'demo = "perhaps"\n[clock]\nrate = 60.0\n'
    assert set(problems(tmp_path, text)) == {"demo"}


def test_a_demonstration_may_scale_its_clock(tmp_path: Path) -> None:
    text = GOOD + "demo = true\n[clock]\nstart = 2026-03-02T00:30:00Z\nrate = 60.0\n"
    assert load(tmp_path, text).clock.rate == 60


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD + '[database]\ndsn = "postgresql://u:hidden@db"\n')
    assert "hidden" not in found["database.dsn"]
    found = problems(tmp_path, GOOD + '[database]\ndsn = ["hidden"]\n')
    assert "hidden" not in found["database.dsn"]


@pytest.mark.parametrize("text", ["node_id = ", "node_id = 1 1"])
def test_what_is_no_toml_is_said_so(tmp_path: Path, text: str) -> None:
    assert set(problems(tmp_path, text)) == {"node.toml"}


def test_a_folder_that_is_no_node_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="lubiao init"):
        load_settings(tmp_path)
