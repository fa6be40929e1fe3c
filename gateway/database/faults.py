"""What PostgreSQL's and asyncpg's exceptions mean for a unit of work.

Their texts quote values ("Key (id)=(…) already exists"), which may be personal. So the original
exception is neither chained nor quoted; what remains is the SQLSTATE and the names of table,
column and constraint. Texts of SQLSTATE class 42 (syntax, unknown names) hold no values and stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from gateway.database.uow import PEER, ROLLED_BACK
from gateway.kernel.errors import InvariantViolated, LubiaoError, PeerUnreachable, ResourceExists

LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that talking to PostgreSQL may raise; time-outs are OSErrors since Python 3.11."""

_ROLLED_BACK = (
    asyncpg.TransactionRollbackError,  # deadlock, serialization
    asyncpg.QueryCanceledError,  # statement_timeout
    asyncpg.LockNotAvailableError,  # lock_timeout
    asyncpg.IdleInTransactionSessionTimeoutError,
)
_UNREACHABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, starting up
    asyncpg.InsufficientResourcesError,  # too many connections, disk full
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


@contextmanager
def translated_errors(*, outcome: str) -> Iterator[None]:
    """Raise the typed error for what the block raises.

    `outcome` is what is known about the unit when the connection is lost in the block.
    """
    try:
        yield
    except LOST as error:
        # `from None`: the original quotes values.
        raise translate(error, outcome=outcome) from None


def translate(error: BaseException, *, outcome: str) -> LubiaoError:
    """Return the typed error for an exception of PostgreSQL, asyncpg or the connection."""
    match error:
        case asyncpg.UniqueViolationError():
            return ResourceExists(kind=error.table_name, name=error.constraint_name)
        case asyncpg.PostgresError() if isinstance(error, _ROLLED_BACK):
            return PeerUnreachable(peer=PEER, got=_brief(error), outcome=ROLLED_BACK)
        case asyncpg.PostgresError() if isinstance(error, _UNREACHABLE):
            return PeerUnreachable(peer=PEER, got=_brief(error), outcome=outcome)
        case asyncpg.PostgresError():
            return InvariantViolated(invariant="sql", got=_detailed(error))
        case asyncpg.InterfaceError() if isinstance(error, ValueError):
            return InvariantViolated(invariant="sql", got="a parameter of the wrong type")
        case _:
            return PeerUnreachable(peer=PEER, got=type(error).__name__, outcome=outcome)


def _brief(error: asyncpg.PostgresError) -> str:
    return f"{error.sqlstate} {type(error).__name__}"


def _detailed(error: asyncpg.PostgresError) -> str:
    names = (error.table_name, error.column_name, error.constraint_name)
    where = " ".join(name for name in names if name)
    text = str(error.args[0]) if (error.sqlstate or "").startswith("42") else ""
    return " ".join(part for part in (_brief(error), where, text) if part)
