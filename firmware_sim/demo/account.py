"""The account of the demo: what the cloud's books say against what the simulator saw. Pure, but for the questions.

Identities, every one of which must hold:

    ledger_drift_fen    0: every entry balances, balances are the sums of their postings, escrow is the open orders
    stock_drift         0: per machine opening + loaded - sold = counted; an open review may stand for one item
    double_deliveries   0: nothing fell for which there is neither a sale nor an open review
    water_drift_ml      0: per purifier what really flowed = sold + given + leaked, within the meter's one percent; a
                        pour that nobody could prove may be off by all that was asked
    unsettled           0: every order and every pour has an end or is in review
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Any, Final

from firmware_sim.demo.people import TROUBLE, Tally
from firmware_sim.demo.stage import Stage
from firmware_sim.demo.wire import Api

# A claimed order waits at most ten seconds for its grant and a minute for a silent board; then its fact must travel.
SETTLE_WAIT_S: Final = 180.0
OPEN_STATES: Final = ("held", "claimed")
# The account is of this run: a day to either side holds it, whatever the clocks say.
PERIOD_MS: Final = 24 * 3_600_000
# Less than this in an idle purifier is no leak yet, and is not told.
UNTOLD_ML: Final = 50


@dataclass(frozen=True, slots=True)
class MachineAccount:
    """One machine's stock. `counted` is what the simulator counts on the shelves."""

    machine: str
    opening: int
    loaded: int
    sold: int
    review: int
    counted: int
    fell: int

    @property
    def drift(self) -> int:
        """Items that are missing or too many, beyond what open reviews may explain."""
        missing = self.opening + self.loaded - self.sold - self.counted
        return missing - self.review if missing > self.review else min(missing, 0)

    @property
    def doubles(self) -> int:
        """Items that fell beyond sales and open reviews."""
        return max(0, self.fell - self.sold - self.review)


@dataclass(frozen=True, slots=True)
class WaterAccount:
    """One purifier's litres, in ml. `flowed` is the simulator's truth: what left by outlets and leaks behind the meter.

    `unproven` is what was asked for in pours whose volume a person had to decide, or still has.
    """

    machine: str
    flowed: int
    sold: int
    given: int
    leaked: int
    review: int
    unproven: int

    @property
    def drift(self) -> int:
        """Millilitres that are missing or too many, beyond what a meter may be off and what nobody could prove."""
        missing = self.flowed - self.sold - self.given - self.leaked - self.review
        allowed = self.flowed // 100 + UNTOLD_ML + self.unproven
        return missing - allowed if missing > allowed else min(missing + allowed, 0)


@dataclass(frozen=True, slots=True)
class Account:
    """The whole account; `lines` are the demo's last output."""

    orders_placed: int
    button_sales: int
    delivered: int
    refunded: int
    review: int
    unsettled: int
    quarantined: int
    money_in_escrow_fen: int
    ledger_drift_fen: int
    machines: tuple[MachineAccount, ...]
    pours: int = 0
    # What was done with old programs.
    restocks: int = 0
    purchases: int = 0
    # Documented operations that were answered, of how many; and how many asks were refused.
    operations: str = ""
    refused: int = 0
    # Of their stories, how many of how many were heard to their end.
    stories: str = ""
    purifiers: tuple[WaterAccount, ...] = ()

    @property
    def water_drift_ml(self) -> int:
        """Sum over purifiers, each without its sign."""
        return sum(abs(purifier.drift) for purifier in self.purifiers)

    @property
    def litres(self) -> str:
        """What really flowed at all purifiers."""
        return f"{sum(purifier.flowed for purifier in self.purifiers) / 1000:.2f}"

    @property
    def stock_drift(self) -> int:
        """Sum over machines, each without its sign: two errors must not cancel out."""
        return sum(abs(machine.drift) for machine in self.machines)

    @property
    def double_deliveries(self) -> int:
        """Sum over machines."""
        return sum(machine.doubles for machine in self.machines)

    @property
    def balances(self) -> bool:
        """Whether every identity holds."""
        wrong = (self.ledger_drift_fen, self.stock_drift, self.double_deliveries, self.unsettled, self.quarantined)
        return not any((*wrong, self.water_drift_ml))

    def lines(self) -> list[str]:
        """`key=value`, one a line."""
        rows = [
            f"machine={m.machine} opening={m.opening} loaded={m.loaded} sold={m.sold} review={m.review}"
            f" counted={m.counted} fell={m.fell} drift={m.drift}"
            for m in self.machines
        ]
        rows += [
            f"purifier={p.machine} flowed={p.flowed} sold={p.sold} given={p.given} leaked={p.leaked}"
            f" review={p.review} unproven={p.unproven} drift={p.drift}"
            for p in self.purifiers
        ]
        names = (
            *("orders_placed", "button_sales", "delivered", "refunded", "review", "unsettled", "quarantined"),
            *("pours", "litres", "restocks", "purchases", "operations", "refused", "stories"),
            *("money_in_escrow_fen", "ledger_drift_fen", "stock_drift", "double_deliveries", "water_drift_ml"),
        )
        return rows + [f"{name}={getattr(self, name)}" for name in names] + [f"balances={str(self.balances).lower()}"]


async def settled(stage: Stage) -> None:
    """Wait until nothing is on its way any more: no open order, no vend, no fact; gives up after a while."""
    until = time.monotonic() + SETTLE_WAIT_S
    quiet = 0
    # Twice in a row: between an agent's outcome and its order's end there is a moment in which neither shows.
    while quiet < 2 and time.monotonic() < until:
        quiet = quiet + 1 if await _is_quiet(stage) else 0
        await asyncio.sleep(0.5)


async def go_home(stage: Stage) -> None:
    """Whoever still waits for a machine takes the order back; what a machine has claimed is carried out."""
    for path in ("/orders", "/pours"):
        for order in await stage.api.every(path, state="held"):
            with contextlib.suppress(*TROUBLE):
                await stage.api.post(f"{path}/{order['order']}/cancel")


async def _is_quiet(stage: Stage) -> bool:
    try:
        for state in OPEN_STATES:
            if await stage.api.count("/orders", state=state) or await stage.api.count("/pours", state=state):
                return False
        for one in stage.cast.everybody:
            if await stage.api.count("/commands", state="waiting", machine=one.machine):
                return False
        for panel in stage.panels.values():
            status = await panel.ask("status")
            if status["busy"] or status["facts_waiting"]:
                return False
        # What leaked is told a minute later at the latest.
        if any(account.drift for account in await _water_accounts(stage)):
            return False
    except TROUBLE:
        return False
    return True


async def draw_up(stage: Stage, tally: Tally) -> Account:
    """Ask the cloud and the simulator, and put the account together."""
    api = stage.api
    truth = (await stage.sim.truth())["machines"]
    machines = []
    for machine in (played.machine for played in stage.cast.machines):
        counts: dict[str, Any] = truth[machine]["totals"]
        machines.append(
            MachineAccount(
                machine=machine,
                opening=counts["opening"],
                loaded=counts["loaded"] - counts["removed"],
                sold=await api.count("/orders", machine=machine, state="delivered"),
                review=await api.count("/orders", machine=machine, state="review"),
                counted=counts["remaining"],
                fell=counts["fell"],
            )
        )
    escrow = [account for account in await api.every("/ledger/accounts") if account["kind"] == "escrow"]
    return Account(
        orders_placed=tally.orders_placed,
        button_sales=await api.count("/orders", source="button", state="delivered"),
        delivered=await api.count("/orders", state="delivered"),
        refunded=await api.count("/orders", state="refunded"),
        review=await api.count("/orders", state="review"),
        unsettled=sum([await api.count(path, state=state) for path in ("/orders", "/pours") for state in OPEN_STATES]),
        quarantined=await api.count("/quarantine"),
        money_in_escrow_fen=sum(account["balance_fen"] for account in escrow),
        ledger_drift_fen=(await api.get("/ledger/drift"))["drift_fen"],
        machines=tuple(machines),
        pours=await api.count("/pours", state="poured"),
        restocks=tally.restocks,
        purchases=tally.purchases,
        operations=tally.answers.line,
        refused=len(tally.answers.refused),
        stories=tally.stories,
        purifiers=tuple(await _water_accounts(stage)),
    )


async def _water_accounts(stage: Stage) -> list[WaterAccount]:
    truth = (await stage.sim.truth())["machines"]
    return [await _water_account(stage.api, one.machine, truth[one.machine]["water"]) for one in stage.cast.purifiers]


async def _water_account(api: Api, machine: str, truth: dict[str, Any]) -> WaterAccount:
    now_ms = int(time.time() * 1000)
    period = {"from_ms": now_ms - PERIOD_MS, "before_ms": now_ms + PERIOD_MS}
    told = (await api.get(f"/machines/{machine}/account", **period))["water"]
    pours = await api.every("/pours", machine=machine)
    return WaterAccount(
        machine=machine,
        flowed=(truth["poured_ul"] + truth["leaked_metered_ul"]) // 1000,
        sold=told["sold_ml"],
        given=told["given_ml"],
        leaked=told["leaked_ml"],
        review=told["doubtful_ml"],
        unproven=sum(pour["asked_ml"] for pour in pours if pour["state"] == "review" or pour["decided_by"]),
    )
