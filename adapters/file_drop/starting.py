"""A new adapter folder: settings, certificates, and a mapping to start from.

The mapping is that of the simulated platforms: complete, with Chinese columns and codes. What
differs on the platform is changed in it, and `check --file` says what is left to do.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from adapters.file_drop.settings import (
    SETTINGS_FILE,
    SIMULATED_MAPPING,
    Settings,
    load_settings,
)
from adapters.kit.files import make_private_folder, write_whole
from adapters.kit.mapping import load_mapping
from gateway.kernel.errors import FieldInvalid, LubiaoError, ResourceExists

CERTIFICATES = "certificates"
CERTIFICATE_FILES = ("cert.pem", "key.pem", "ca.pem")
MAPPING_FILE = "mapping.yaml"
HEAD = """\
# What this platform's columns and codes mean; docs/adapters.md#the-mapping says how it is read.
# Left: the standard's field. Right: the platform's column. Remove what the platform does not have.
"""


def start(
    folder: Path, *, platform: str, authority: str, endpoint: str, certificates: Path
) -> Settings:
    """Make the folder of an adapter and return its settings.

    Raises:
        ResourceExists: there is one already.
        FieldInvalid: a value is wrong, or the certificate folder is not complete; then there is
            no folder, so that the corrected command can be given again.
    """
    if (folder / SETTINGS_FILE).exists():
        raise ResourceExists(kind="adapter folder", name=folder)
    absent = [name for name in CERTIFICATE_FILES if not (certificates / name).is_file()]
    if absent:
        raise FieldInvalid(
            field=certificates,
            got=f"no {', '.join(absent)}",
            expected="a folder of `lubiao ca issue … platform`",
        )
    make_private_folder(folder)
    body = {
        "platform": platform,
        "authority": authority,
        "endpoint": endpoint,
        "certificates": CERTIFICATES,
        "mapping": MAPPING_FILE,
    }
    text = yaml.safe_dump(body, allow_unicode=True, sort_keys=False)
    write_whole(folder / SETTINGS_FILE, text.encode())
    try:
        settings = load_settings(folder)
    except LubiaoError:
        (folder / SETTINGS_FILE).unlink()
        raise
    make_private_folder(settings.certificates)
    for name in CERTIFICATE_FILES:
        shutil.copy(certificates / name, settings.certificates / name)  # with the key's mode
    write_whole(settings.mapping, (HEAD + _body(SIMULATED_MAPPING)).encode())
    load_mapping(settings.mapping)
    settings.make_folders()
    return settings


def _body(path: Path) -> str:
    """Return a mapping without the comment at its top."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(lines[next(i for i, line in enumerate(lines) if line[0] != "#") :])
