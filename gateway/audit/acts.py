"""The entry of what somebody did, or read: by a principal, on a basis, for a purpose.

The log takes codes and names only. A purpose that is a code of the access matrix is kept as one;
one in words is the basis of the reading, and the code then says that it was stated.
"""

from __future__ import annotations

import re

from gateway.audit.model import NAME_LENGTH_MAX, OUTCOME_DONE, AuditEntry
from gateway.kernel.time import Instant
from gateway.trust.principal import Principal

ACCESS_MATRIX = "access-matrix"  # the role alone allows it
STATED = "stated"  # a purpose in words
_PURPOSE_CODE = re.compile(r"^[A-Za-z][A-Za-z0-9_.:/-]{0,99}$")


def act_of(
    principal: Principal,
    act: str,
    subject: str,
    *,
    now: Instant,
    basis: str = ACCESS_MATRIX,
    outcome: str = OUTCOME_DONE,
) -> AuditEntry:
    """Return the entry of an act; a basis in words is cut to its bound."""
    return AuditEntry(
        time=now,
        principal=principal.name,
        role=principal.acting_role,
        act=act,
        subject=subject,
        basis=basis[:NAME_LENGTH_MAX],
        outcome=outcome,
    )


def reading_of(
    principal: Principal,
    act: str,
    subject: str,
    *,
    now: Instant,
    purpose: str,
    basis: str = ACCESS_MATRIX,
    is_of_words: bool = True,
    outcome: str = OUTCOME_DONE,
) -> AuditEntry:
    """Return the entry of a reading; `basis` counts where no purpose was stated.

    `is_of_words` False: nothing that needs a purpose was read; one that was stated is the basis.
    """
    code = purpose if _PURPOSE_CODE.match(purpose) else STATED
    return AuditEntry(
        time=now,
        principal=principal.name,
        role=principal.acting_role,
        act=act,
        subject=subject,
        basis=purpose[:NAME_LENGTH_MAX] or basis,
        purpose=code if purpose and is_of_words else None,
        outcome=outcome,
    )
