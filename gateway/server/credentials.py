"""The certificates in use: read from `tls/` and `trust/`, and read again when a file changes.

Once a second the files are looked at (their names, sizes and times). What changed is read whole and
judged as a start would judge it: the key must be the certificate's, the certificate the root's and
the same node's. Only then it replaces what is in use, all of it at once; until then, and when a
file is broken or half copied, the old stays and the log says why. So a certificate is renewed, a CA
is added and a revocation list replaced without a restart, and an expired certificate heals as soon
as its successor lies in the folder.

New handshakes use what is in use: gRPC asks for the server's certificate at each of them, and a
channel to a peer is opened anew. Connections that stand are not cut; who calls is judged at every
RPC against the CAs and lists in use, so a revoked caller is refused on an old connection too; a
stream is judged again after every look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import structlog

from gateway.kernel.errors import FieldInvalid, LubiaoError, SignatureInvalid
from gateway.kernel.time import Clock, Instant
from gateway.kernel.values import dataclass
from gateway.server.client import CERTIFICATE, KEY, ROOT, CertificateFolder
from gateway.telemetry.metrics import Metrics
from gateway.trust.authentication import Authenticator
from gateway.trust.certificates import Certificate
from gateway.trust.key_files import load_private_key
from gateway.trust.keys import Purpose
from gateway.trust.principal import SCHEME, Principal
from gateway.trust.revocation import RevocationList, Revocations

LOOK_INTERVAL = timedelta(seconds=1)
ALARM_INTERVAL = timedelta(hours=1)
ALARM_BEFORE = timedelta(days=30)  # as `lubiao doctor` warns
log = structlog.get_logger()
Mark = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """One whole reading of both folders, ready for use."""

    folder: CertificateFolder
    authenticator: Authenticator
    server: grpc.ServerCertificateConfiguration
    channel: grpc.ChannelCredentials

    @classmethod
    def load(cls, tls: Path, trust: Path) -> Credentials:
        """Read both folders.

        Raises:
            LubiaoError: a file is missing, broken, or does not go with the others.
        """
        folder = CertificateFolder.load(tls)
        _check_whole(folder, tls)
        cas = {path.stem: Certificate.load(path) for path in sorted(trust.glob("*.pem"))}
        lists = [RevocationList.load(path) for path in sorted(trust.glob("*.revoked.json"))]
        authenticator = Authenticator(
            federation_root=folder.root, authority_cas=cas, revoked=Revocations.of(lists)
        )
        return cls(
            folder=folder,
            authenticator=authenticator,
            server=grpc.ssl_server_certificate_configuration(
                [(folder.key_pem, folder.certificate.pem)],
                root_certificates=authenticator.trust_bundle(),
            ),
            channel=folder.channel_credentials(),
        )

    def certificates(self) -> Iterator[tuple[str, Certificate]]:
        """Yield what can expire, by name: `node`, `root`, and the code of each CA."""
        yield "node", self.folder.certificate
        yield "root", self.folder.root
        yield from self.authenticator.authority_cas.items()


class CredentialHolder:
    """The credentials in use, and the watch over their files."""

    def __init__(
        self, *, tls: Path, trust: Path, clock: Clock, metrics: Metrics | None = None
    ) -> None:
        """Read both folders; `clock` is the machine's.

        Raises:
            LubiaoError: they cannot be used.
        """
        self._tls, self._trust, self._clock, self._metrics = tls, trust, clock, metrics
        self._mark = self._present_mark()
        self._refused: Mark = ()
        self.current = Credentials.load(tls, trust)
        self._identity = _identity(self.current)
        self.looked: Callable[[], None] = lambda: None  # called after every look
        self.show_validity()

    def authenticate(self, leaf_pem: bytes) -> Principal:
        """Return the principal of a client certificate, by the CAs and lists in use."""
        return self.current.authenticator.authenticate(leaf_pem, now=self._clock.now())

    def channel(self) -> grpc.ChannelCredentials:
        """Return what a channel to a node needs; another object after a renewal."""
        return self.current.channel

    def server(self) -> grpc.ServerCredentials:
        """Return credentials that demand a client certificate of a trusted CA, and follow us."""
        known = self.current.server

        def fetch() -> Any:  # None, which the stubs do not know, for "as before"
            """Return what changed since the last handshake; called from a thread of gRPC."""
            nonlocal known
            present = self.current.server
            if present is known:
                return None
            known = present
            return present

        return grpc.dynamic_ssl_server_credentials(known, fetch, require_client_authentication=True)

    def look(self) -> bool:
        """Read the files again if they changed; tell whether something else is in use now."""
        mark = self._present_mark()
        if mark == self._mark:
            return False
        try:
            found = self._load()
        except Exception as error:  # whatever lies there, the node goes on with what it has
            if mark != self._refused:  # say it once, and try on
                self._refused = mark
                details = error.metadata if isinstance(error, LubiaoError) else {}
                log.warning("credentials.refused", error=type(error).__name__, metadata=details)
            return False
        self.current, self._mark, self._refused = found, mark, ()
        log.info(
            "credentials.renewed",
            serial=f"{found.folder.certificate.serial:x}",
            valid_to=found.folder.certificate.valid_to.isoformat(),
            cas=len(found.authenticator.authority_cas),
        )
        return True

    def _load(self) -> Credentials:
        found = Credentials.load(self._tls, self._trust)
        if _identity(found) != self._identity:
            raise FieldInvalid(
                field=self._tls / CERTIFICATE, got=_identity(found), expected=self._identity
            )
        return found

    def show_validity(self) -> list[str]:
        """Show in the metrics how long each certificate is good; return those to renew soon."""
        now = self._clock.now()
        due = []
        for name, certificate in self.current.certificates():
            left = certificate.valid_to - now
            if self._metrics is not None:
                self._metrics.certificate(name, left=left)
            if left < ALARM_BEFORE:
                due.append(name)
        return due

    async def run(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look until cancelled, and say now and then what expires."""
        said: Instant | None = None
        while True:
            is_new = self.look()
            self.looked()
            due, now = self.show_validity(), self._clock.now()
            if due and (is_new or said is None or now - said >= ALARM_INTERVAL):
                said = now
                for name, certificate in self.current.certificates():
                    if name in due:
                        self._alarm(name, certificate, now)
            await sleep(LOOK_INTERVAL.total_seconds())

    def _alarm(self, name: str, certificate: Certificate, now: Instant) -> None:
        say = log.warning if certificate.is_valid_at(now) else log.error
        say(
            "certificate.expires",
            certificate=name,
            valid_to=certificate.valid_to.isoformat(),
            days=(certificate.valid_to - now).days,
        )

    def _present_mark(self) -> Mark:
        own = [self._tls / name for name in (CERTIFICATE, KEY, ROOT)]
        paths = [*own, *self._trust.glob("*.pem"), *self._trust.glob("*.revoked.json")]
        return tuple(sorted(_mark_of(path) for path in paths))


def _mark_of(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (str(path), 0, 0, 0)
    return (str(path), found.st_ino, found.st_mtime_ns, found.st_size)


def _identity(credentials: Credentials) -> str:
    """Return who the certificate says this node is; a renewal does not change that."""
    uris = credentials.folder.certificate.uris
    return " ".join(sorted(uri for uri in uris if uri.startswith(SCHEME)))


def _check_whole(folder: CertificateFolder, tls: Path) -> None:
    """Refuse files that do not belong together, such as a half of a copy."""
    if not folder.certificate.is_issued_by(folder.root):
        raise SignatureInvalid(
            signer="certificate", got=f"{tls / CERTIFICATE} of another CA than {tls / ROOT}"
        )
    key = load_private_key(tls / KEY, Purpose.TLS)
    if not folder.certificate.is_of_key(key):
        raise FieldInvalid(
            field=tls / KEY, got="the key of another certificate", expected=f"that of {CERTIFICATE}"
        )
