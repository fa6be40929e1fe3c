"""Planted faults: each drops one rule; the checkers must notice within a stated number of seeds.

A mutant is applied by replacing functions of the product for the time of a test and nothing else.
The numbers of docs/custody.md#mutants (of the exhaustive search), and where they are planted; R a
random run notices, S only a story of tests/unit/custody does, because runs meet it too rarely.

=====  =========================================  =====  =========================================
1      R recall does not wait                     22     R acts while offered
2      R revoke not remembered                    23     R late revoke wins
3      R refusal not remembered                   24     R taken not sent
4      R answers die                              25     R pending offer forgotten
5      R sent before commit                       27     S old acceptance ends
6      R sender lets go                           28     R attached ruling ignored
7      R refused epoch reused                     30     R floor stays behind
8      R no era                                   31     R neither floor nor answers (32, with 23)
9      R no care until taken                      33     S nobody tells downstream (with 10)
10     S nobody tells downstream (12, 33, 39)     34     R only a floor
11     S old offer invites                        35     R ack not answered
12     S nobody tells downstream (with 10)        36     R ruling waits
13     S answer of another epoch                  37     R target refuses
14     R accepted answers expire                  38     R released disobeys
15     R two offers at once                       39     S no fence
16     R epochs of updates                        40     R earlier targets not told
17     R anybody rules                            41     R invitation survives
18     R last ruling wins                         42     R floor at the offer
19     R answer not sent                          43     R invitation outlives revoke
20     R no hop limit                             32     R neither floor nor answers (with 31)
21     R no loop check
=====  =========================================  =====  =========================================

12, 31, 32 and 33 survive alone, as second lines of defence, and are planted in the combination that
does not. 26 and 29 do not exist. The other mutants are those of delivery, storage, ledgers, the
coupling of the two levels (rules 1–6 of docs/custody.md#scopes), consent, standing by, and
disputes.
"""

from __future__ import annotations

from tests.simulation.mutants import coupling, delivery, disputes, protocol, rulings, standing_by
from tests.simulation.mutants.base import Mutant

__all__ = ["LATE_CLOCK", "MUTANTS", "STORY_MUTANTS", "Mutant"]

MUTANTS = (
    *protocol.MUTANTS,
    *rulings.MUTANTS,
    *delivery.MUTANTS,
    *coupling.MUTANTS,
    *disputes.MUTANTS,
    *standing_by.MUTANTS,
)
LATE_CLOCK = disputes.LATE_CLOCK
STORY_MUTANTS = (*protocol.STORY_MUTANTS, *rulings.STORY_MUTANTS, *coupling.STORY_MUTANTS)
"""Faults that a random run meets too rarely: a story of tests/unit/custody must notice each."""
