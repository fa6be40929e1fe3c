"""The baseline of the stable standard: `python proto/baseline.py [--write]`.

`proto/baseline/stable.binpb` is a FileDescriptorSet of every package that is `v1` and of what it
imports, without comments. `make lint` fails when the sources break it (`buf breaking`, category
FILE: nothing is deleted, renumbered or retyped). A package `v1alpha1` is not in it and may change;
it enters when it graduates. `--write` makes a new baseline: only after an addition, or with an ADR
that says why a break is right.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from google.protobuf import descriptor_pb2

PROTO = Path(__file__).resolve().parent
BASELINE = PROTO / "baseline" / "stable.binpb"
BUF = Path(sys.executable).parent / "buf"


def stable_image() -> bytes:
    """Return the descriptors of the stable packages and their imports, in a fixed order."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "all.binpb"
        command = [sys.executable, str(PROTO / "generate.py"), "--image", str(image)]
        subprocess.run(command, check=True)  # noqa: S603 (our own script)
        whole = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    files = {file.name: file for file in whole.file}
    wanted = {
        name
        for name, file in files.items()
        if file.package.startswith("hotline.") and file.package.endswith(".v1")
    }
    waiting = list(wanted)
    while waiting:
        for name in files[waiting.pop()].dependency:
            if name not in wanted:
                wanted.add(name)
                waiting.append(name)
    kept = descriptor_pb2.FileDescriptorSet()
    for file in whole.file:  # in the order of the image: imports first
        if file.name in wanted:
            kept.file.add().CopyFrom(file)
            kept.file[-1].ClearField("source_code_info")
    return kept.SerializeToString(deterministic=True)


def breaks() -> int:
    """Run `buf breaking` of the sources against the baseline; return its exit code."""
    if not BASELINE.exists():
        sys.stderr.write(f"{BASELINE.relative_to(PROTO.parent)} is missing: write it first\n")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "now.binpb"
        image.write_bytes(stable_image())
        command = [str(BUF), "breaking", str(image), "--against", str(BASELINE)]
        config = ["--config", '{"version":"v2","breaking":{"use":["FILE"]}}']
        return subprocess.run([*command, *config], check=False).returncode  # noqa: S603 (buf)


def main() -> int:
    """Check against the baseline, or write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write the baseline anew")
    if not parser.parse_args().write:
        return breaks()
    BASELINE.parent.mkdir(exist_ok=True)
    BASELINE.write_bytes(stable_image())
    return 0


if __name__ == "__main__":
    sys.exit(main())
