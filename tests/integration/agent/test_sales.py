"""Button sales without any network: the agent, a pty and the simulated board."""

from __future__ import annotations

from pathlib import Path

from shared.messages import VendDelivered
from tests.integration.agent.rig import rig


async def test_a_button_sells_without_a_network(tmp_path: Path) -> None:
    async with rig(tmp_path) as machine, machine.running():
        await machine.until_selling()
        answer = await machine.press("1-02")
        assert answer["state"] == "delivered"
        assert await machine.fell() == 1
        (sold,) = [fact for fact in await machine.facts() if isinstance(fact, VendDelivered)]
        assert (sold.aisle, sold.price_fen, sold.means, sold.source) == ("1-02", 302, "coin", "button")
        assert sold.attempts[0].max_current_ma > 0
        await machine.account_balances()
