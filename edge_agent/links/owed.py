"""Which answers are still owed on a line, and therefore what may be asked next.

**Why this exists.** A reply of the ADH815 family names neither its board nor the request that it answers. Suppose POLL
is sent to an idle board and the answer is late; the host gives up, sends RUN, the motor turns, the host polls again.
If it now takes the late "idle" for an answer to the second POLL, it believes that the motor never turned, and refunds
the buyer or starts the motor again. One late frame, one double delivery. Flushing the input is no cure: the late frame
may come after the flush. Nor is waiting: a wait long enough for every late frame lets one dead board stop all others.

**What is believed of boards.** (A1) A board answers its requests in the order in which it received them: it has one
processor and one transmitter. (A2) An answer comes within `late_ms_max` after its request, or never. Any answer may be
lost. Boards know nothing of each other, so no order holds between two of them.

**The rules.** (R1) A request is sent only while no answer of its kind is owed by anyone on the line; kinds are the
commands that the reply may carry. (R2) A debt ends when a reply of its kind is heard, when a later request's reply is
heard from the same board, or when it is `late_ms_max` old.

**Why a reply that is taken for an answer is one.** By R1 a kind is owed at most once on the whole line, so a reply of
that kind can have only one cause, unless its true cause was struck off before it came. R2 strikes off a debt without
its reply in two cases only: a later request of the same board was answered, then by A1 the reply will not come any
more; or the debt is too old, then by A2 it will not come any more. So the reply was caused by the one request that
still owes it. This holds for every board on the line, whatever is lost, split or delayed.

**The fence.** When a kind is owed and needed, the debtor is asked something harmless of another kind that nobody owes
(ID, or READ_MODE when ID is owed as well). Its answer strikes off the older debt: one exchange instead of a long wait.
Only a debtor that stays silent makes the line wait for age, and only requests of the owed kinds: RUN to a neighbour is
sent at once. A board whose breaker is open is probed with a fence, never with POLL or RUN, so a dead board costs its
neighbours that wait once, when it dies, and not at every probe.

**Refusals.** A Modbus exception names its function alone, so two requests that may be answered at the same time can
cause the same one. It pays the oldest debt that it may belong to. If that one was the cause, all is well. If not, the
cause stays unpaid and its asker hears silence, and by A1 the answer to the older one will not come any more: struck off
rightly again. A refusal carries no value, so none can go to the wrong asker.

If A2 is broken, a reply of that lateness is a stray (`heard` returns None and it is counted), unless its kind was asked
again meanwhile. A status that decides about money is therefore read twice.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Debt:
    """One answer that has not come: who owes it, which kinds it may have, until when it may come.

    `refusals`: what may come in its stead without saying which of several requests it refuses.
    """

    slave: int
    kinds: Set[int]
    expires_mono_ms: int
    refusals: Set[int] = frozenset()


class Owed:
    """All debts of one line, oldest first. Pure: time comes in as a number."""

    def __init__(self, late_ms_max: int) -> None:
        self._late_ms_max = late_ms_max
        self._debts: list[Debt] = []

    def sent(self, slave: int, kinds: Set[int], now_ms: int, refusals: Set[int] = frozenset()) -> Debt:
        """A request leaves for `slave` whose answer will be one of `kinds`. The caller has asked `blocking` before."""
        assert self.blocking(kinds, now_ms) is None, f"an answer of kinds {sorted(kinds)} is already owed"
        debt = Debt(slave, kinds, now_ms + self._late_ms_max, refusals)
        self._debts.append(debt)
        return debt

    def heard(self, kind: int) -> Debt | None:
        """A reply of `kind` came: returns the debt that it pays, or None when nobody owed it."""
        paid = next((debt for debt in self._debts if kind in debt.kinds or kind in debt.refusals), None)
        if paid is not None:
            older = self._debts[: self._debts.index(paid) + 1]
            self._debts = [debt for debt in self._debts if debt.slave != paid.slave or debt not in older]
        return paid

    def blocking(self, kinds: Set[int], now_ms: int) -> Debt | None:
        """The oldest debt that forbids a request answered by `kinds`, if there is one."""
        self._debts = [debt for debt in self._debts if now_ms <= debt.expires_mono_ms]
        return next((debt for debt in self._debts if not debt.kinds.isdisjoint(kinds)), None)
