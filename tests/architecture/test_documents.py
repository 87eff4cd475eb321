"""The documents tell what the code does."""

from pathlib import Path

from cloud.commission import model as commission
from cloud.orders import model as orders
from cloud.payments import model as payments
from cloud.promotions import model as promotions
from cloud.purchases import model as purchases
from cloud.rentals import model as rentals
from cloud.tickets import model as tickets
from cloud.water import model as water
from edge_agent.pour import transitions as pour
from edge_agent.vend import transitions as vend

ROOT = Path(__file__).parents[2]


def test_the_diagrams_in_the_architecture_are_the_tables() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert vend.diagram() in text
    assert pour.diagram() in text
    assert orders.diagram() in text
    assert water.diagram() in text
    assert payments.diagram() in text
    assert payments.outgoing_diagram() in text
    assert tickets.diagram() in text
    assert promotions.group_diagram() in text
    assert purchases.diagram() in text
    assert rentals.diagram() in text
    assert commission.diagram() in text
