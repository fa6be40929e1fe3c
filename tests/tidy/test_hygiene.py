"""What must never be in the repository: addresses of registries, machine paths, private keys."""

from __future__ import annotations

import re

import pytest

from tests.tidy.tree import ROOT, name_of, texts

# Written in parts, so that this file passes its own test.
REGISTRY_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("pypi", "python", "org"),
        ("registry", "npmjs", "org"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("pypi", "tuna", "tsinghua"),
        ("mirrors", "aliyun"),
    )
)
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:farm|home|root|tmp|work|Users)/[A-Za-z0-9_]")
PRIVATE_KEY = re.compile(r"-{5}BEGIN [A-Z ]*PRIVATE KEY-{5}\s+[A-Za-z0-9+/=]{16}")
LOCKS = ("requirements/demo.txt", "requirements/dev.txt")
_PIN = re.compile(r"^[a-z0-9][a-z0-9._-]*==[^ ;]+( ; .+)? \\$")
_HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def test_no_file_names_a_package_registry() -> None:
    found = {
        f"{name}: {host}"
        for name, text in texts().items()
        for host in REGISTRY_HOSTS
        if host in text
    }
    assert not found


def test_no_file_names_a_path_of_somebodys_machine() -> None:
    found = [
        f"{name}: {match[0]}…"
        for name, text in texts().items()
        for match in MACHINE_PATH.finditer(text)
    ]
    assert not found


def test_no_private_key_is_committed() -> None:
    assert not [name for name, text in texts().items() if PRIVATE_KEY.search(text)]
    assert not [name for name in texts() if name.endswith((".key", ".p12", ".pem"))]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_and_hashes_only(lock: str) -> None:
    lines = (ROOT / lock).read_text(encoding="utf-8").splitlines()
    assert "://" not in "\n".join(lines)
    body = [line for line in lines if not line.startswith("#")]
    odd = [line for line in body if not _PIN.match(line) and not _HASH.match(line)]
    assert not odd
    pins = [position for position, line in enumerate(body) if _PIN.match(line)]
    assert pins
    assert all(_HASH.match(body[position + 1]) for position in pins)


def test_the_lock_for_the_demonstration_is_part_of_the_lock_for_development() -> None:
    demo, dev = (
        {
            line.split(" ")[0]  # the pin; under which conditions depends on who else asks for it
            for line in (ROOT / lock).read_text(encoding="utf-8").splitlines()
            if "==" in line
        }
        for lock in LOCKS
    )
    assert not demo - dev


def test_both_readmes_show_the_two_commands() -> None:
    readmes = sorted(ROOT.glob("README*.md"))
    assert len(readmes) >= 2, "README.md and its Chinese twin"
    for readme in readmes:
        text = readme.read_text(encoding="utf-8")
        assert "make demo" in text, name_of(readme)
        assert "make test" in text, name_of(readme)


def test_continuous_integration_runs_make_test() -> None:
    run = ROOT / ".ci" / "run"
    assert run.stat().st_mode & 0o111, "`.ci/run` must be executable"
    assert "make test" in run.read_text(encoding="utf-8").splitlines()
