"""Every reason of the standard has one class, one golden file and one row of docs/errors.md."""

from __future__ import annotations

import json
from string import Formatter
from typing import Any

import pytest

import generate
from gateway.kernel.codes import ErrorReason
from gateway.kernel.errors import LubiaoError, all_errors
from tests.fixtures.golden import ROOT, Golden

REASONS = [reason.name for reason in ErrorReason if reason]
FOLDER = "tests/golden/errors"
HEAD = """# Errors

Every error of a Lubiao service is a `google.rpc.Status` with a `google.rpc.ErrorInfo` of the domain
`lubiao`, whose `reason` stands below and whose `metadata` holds everything variable in the text.
A program reads reason and metadata, never the text; a person reads the Chinese
`LocalizedMessage`. A reason keeps its code; metadata keys are added, never removed.
Made by `make golden` from `gateway/kernel/errors.py`.

| reason | gRPC code | when | metadata | 中文 |
|---|---|---|---|---|
"""


def error_of(reason: str) -> type[LubiaoError]:
    """Return the class of a reason; classes that a test made do not count."""
    found = {
        name: error
        for name, error in all_errors().items()
        if error.__module__ == "gateway.kernel.errors"
    }
    assert reason in found, f"{reason} has no class in gateway/kernel/errors.py"
    return found[reason]


def test_there_are_reasons() -> None:
    assert len(REASONS) >= 31


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_keeps_its_code_keys_and_texts(reason: str, golden: Golden) -> None:
    error = error_of(reason)
    path = f"{FOLDER}/{reason}.json"
    if (ROOT / path).exists():
        before = json.loads((ROOT / path).read_text(encoding="utf-8"))
        assert before["code"] == error.code.name, "a reason keeps its code for ever"
        assert set(before["metadata"]) <= set(error.metadata_keys()), "keys are never removed"
    content = {
        "reason": reason,
        "code": error.code.name,
        "metadata": list(error.metadata_keys()),
        "english": error.english,
        "chinese": error.chinese,
    }
    golden.check(path, json.dumps(content, ensure_ascii=False, indent=2) + "\n")


def test_the_chapter_lists_every_reason(golden: Golden) -> None:
    rows = []
    for reason in REASONS:
        error = error_of(reason)
        when = (error.__doc__ or "").partition("\n")[0]
        keys = ", ".join(f"`{key}`" for key in error.metadata_keys())
        chinese = error.chinese.replace("|", "\\|")
        rows.append(f"| `{reason}` | {error.code.name} | {when} | {keys} | {chinese} |\n")
    golden.check("docs/errors.md", HEAD + "".join(rows))


def test_no_class_and_no_golden_file_is_without_a_reason() -> None:
    classes = {
        name for name, error in all_errors().items() if error.__module__ == "gateway.kernel.errors"
    }
    assert classes == set(REASONS)
    assert {path.stem for path in (ROOT / FOLDER).glob("*.json")} == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_both_texts_name_only_metadata(reason: str) -> None:
    error = error_of(reason)
    chinese = {name for _, name, _, _ in Formatter().parse(error.chinese) if name}
    assert chinese <= set(error.metadata_keys())
    metadata: dict[str, Any] = dict.fromkeys(error.metadata_keys(), "value")
    made = error(**metadata)
    assert "?" not in made.text() + made.chinese_text()


def test_the_standard_names_the_code_of_every_reason() -> None:
    image = generate.read_image(generate.sources())
    (file,) = (f for f in image.file if f.name == "hotline/error/v1/error_reason.proto")
    comments = {
        tuple(at.path): at.leading_comments.strip() for at in file.source_code_info.location
    }
    for index, value in enumerate(file.enum_type[0].value[1:], start=1):
        reason = value.name.removeprefix("ERROR_REASON_")
        code = comments[5, 0, 2, index].partition(":")[0]
        assert code == error_of(reason).code.name, reason
