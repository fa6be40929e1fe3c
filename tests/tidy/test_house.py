"""The rules that no tool sees by itself: contracts that could hold vacuously, tests nobody runs."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from tests import stages
from tests.tidy.tree import ROOT, files, name_of, sources

PROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS: Mapping[str, Mapping[str, Any]] = {
    contract["id"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]
}


def test_every_pure_expression_names_a_module() -> None:
    modules = [name.removesuffix(".py").replace("/", ".") for name in sources("gateway")]
    modules.append("gateway.kernel.codes")  # generated
    vacuous = [
        expression
        for expression in CONTRACTS["pure"]["source_modules"]
        if not any(re.fullmatch(_pattern(expression), module) for module in modules)
    ]
    assert not vacuous


def test_a_room_that_exists_is_not_optional() -> None:
    rooms = {name.split("/")[1].removesuffix(".py") for name in sources("gateway")}
    optional = {layer[1:-1] for layer in CONTRACTS["rooms"]["layers"] if layer.startswith("(")}
    assert not rooms & optional, "take the parentheses away in pyproject.toml, contract `rooms`"


def test_every_folder_of_tests_is_in_a_stage() -> None:
    run = {
        argument
        for stage in stages.STAGES.values()
        for command in stage(ROOT)
        for argument in command
        if argument.startswith("tests/")
    }
    holding = {
        "/".join(name_of(path).split("/")[:2])
        for path in files()
        if path.name.startswith("test_") and path.suffix == ".py"
    }
    assert holding - {"tests/chaos"} <= run


def test_every_data_file_of_a_package_is_shipped() -> None:
    shipped = tuple(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    sql = [name_of(path) for path in files() if path.suffix == ".sql"]
    assert sql
    assert all(name.startswith(shipped) for name in sql)


def test_the_index_lists_every_decision() -> None:
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    decisions = [path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md")]
    assert decisions
    assert not [name for name in decisions if f"({name})" not in index]


def test_what_ships_and_the_benchmarks_know_no_tests() -> None:
    """Tests may build on the benchmarks, never the other way: those run without test tools."""
    knowing = [
        f"{name}: {line.strip()}"
        for folder, known in (
            ("adapters", "tests|benchmarks"),
            ("gateway", "tests|benchmarks"),
            ("benchmarks", "tests"),
        )
        for name, text in sources(folder).items()
        for line in text.splitlines()
        if re.match(rf"\s*(from|import) ({known})\b", line)
    ]
    assert not knowing


def _pattern(expression: str) -> str:
    return re.escape(expression).replace(r"\*\*", r"[\w.]+").replace(r"\*", r"\w+")
