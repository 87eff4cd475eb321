"""The stock of one unit of work: balances are read and locked once, moved in memory, and written once."""

from __future__ import annotations

from collections.abc import Iterable

from cloud.database import Work
from cloud.machines.model import Origin
from cloud.stock import store
from cloud.stock.model import Balance, Movement, MovementKind

Aisle = tuple[str, str, str]


class Shelves:
    """The aisles that one unit of work touches, by (tenant, machine, aisle)."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._balances: dict[Aisle, Balance] = {}
        self._movements: list[Movement] = []
        self._moved: set[Aisle] = set()

    async def load(self, aisles: Iterable[Aisle]) -> None:
        """Read and lock the balances of `aisles`."""
        self._balances |= await store.find_balances(self._work, set(aisles), lock=True)

    def balance(self, tenant: str, machine: str, aisle: str) -> Balance:
        """What lies in a loaded aisle; an aisle never heard of is empty."""
        return self._balances.get((tenant, machine, aisle)) or Balance(tenant, machine, aisle, "")

    def move(
        self,
        origin: Origin,
        aisle: str,
        goods: str,
        kind: MovementKind,
        *,
        on_hand: int = 0,
        held: int = 0,
        person: str = "",
    ) -> Balance:
        """Book one movement of a loaded aisle; answers the balance after it."""
        key = (origin.tenant, origin.machine, aisle)
        after = self.balance(*key).moved(on_hand, held, goods)
        self._balances[key] = after
        self._moved.add(key)
        self._movements.append(
            Movement(
                origin.tenant,
                origin.machine,
                origin.key,
                aisle,
                goods,
                kind,
                on_hand,
                held,
                person,
                origin.happened_ms,
            )
        )
        return after

    async def write(self) -> None:
        """Write what moved."""
        await store.add_movements(self._work, self._movements)
        await store.put_balances(self._work, [self._balances[key] for key in sorted(self._moved)])


async def sellable(work: Work, tenant: str, machine: str, aisle: str, *, lock: bool = False) -> Balance:
    """What lies in one aisle now; locked, other orders for it wait for this work."""
    found = await store.find_balances(work, [(tenant, machine, aisle)], lock=lock)
    return found.get((tenant, machine, aisle)) or Balance(tenant, machine, aisle, "")
