"""For every operation a request that its rightful caller may make of `open_business`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.cloud.api.world import Business

PERIOD = {"from_ms": "1795104000000", "before_ms": "1795190400000"}
KEY = {"Idempotency-Key": "example-key-1"}


@dataclass(frozen=True, slots=True)
class Example:
    """Path parameters, body and headers, and the status with which the rightful caller is answered."""

    path: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    status: int | None = None


def examples(own: Business) -> dict[str, Example]:
    """By operation name. `status` None: the success that the operation declares."""
    machine, spare = {"machine": own.machine}, {"machine": own.spare}
    aisle = {"machine": own.machine, "aisle": "a1"}
    order, goods, member = {"order": own.order}, {"goods": own.goods}, {"member": own.member}
    a1 = {"aisle": "a1", "board": 1, "motor": 0, "goods": own.goods, "price_fen": 400, "capacity": 10}
    return (
        {
            "logout": Example(),
            "me": Example(),
            "change_password": Example(
                body={"present_password": "not this one", "new_password": "a long new passphrase"}, status=403
            ),
            "list_users": Example(),
            "add_user": Example(body={"login": "eve", "name": "Eve", "role": "viewer"}),
            "change_user": Example({"user": own.viewer}, {"name": "Somebody"}),
            "renew_password": Example({"user": own.viewer}),
            "list_tenants": Example(),
            "open_tenant": Example(body={"tenant": "newcorp", "name": "New", "owner_login": "boss"}),
            "list_audit": Example(),
            "register_machine": Example(body={"name": "New one", "machine": f"new-{own.tenant}"}),
            "list_machines": Example(),
            "machine_detail": Example(machine),
            "change_machine": Example(machine, {"name": "Elsewhere", "place": "Gate 2"}),
            "claim_machine": Example(spare),
            "revoke_machine": Example(spare),
            "machine_history": Example(machine),
            "list_aisles": Example(machine),
            "list_movements": Example(machine),
            "get_planogram": Example(machine),
            "put_planogram": Example(machine, {"version": 1, "aisles": [a1]}),
            "get_prices": Example(machine),
            "put_prices": Example(machine, {"version": 1, "prices": {"a1": 380}}),
            "load_aisle": Example(aisle, {"quantity": 5}),
            "count_aisle": Example(aisle, {"counted": 9}),
            "lock_aisle": Example(aisle, {"locked": True, "reason": "cleaning"}),
            "set_selling": Example(machine, {"selling": False, "reason": "moving"}),
            "list_faults": Example(),
            "list_commands": Example(),
            "add_goods": Example(body={"goods": "tea", "name": "Tea", "price_fen": 300}),
            "list_goods": Example(),
            "goods_detail": Example(goods),
            "change_goods": Example(goods, {"price_fen": 360}),
            "archive_goods": Example(goods),
            "add_member": Example(body={"member": "bob", "name": "Bob"}),
            "list_members": Example(),
            "member_detail": Example(member),
            "get_wallet": Example(member),
            "member_ledger": Example(member),
            "top_up": Example(member, {"amount_fen": 500}, KEY),
            "list_accounts": Example(),
            "list_postings": Example(),
            "ledger_drift": Example(),
            "place_order": Example(body={"member": own.member, "machine": own.machine, "aisle": "a1"}, headers=KEY),
            "list_orders": Example(),
            "order_detail": Example(order),
            "cancel_order": Example(order),
            # Held and not delivered: refused by its state, which only a caller who may refund gets to know.
            "refund_order": Example(order, {"amount_fen": 100, "reason": "stale"}, KEY, status=409),
            "list_refunds": Example(order),
            "list_reviews": Example(),
            "decide_review": Example(order, {"delivered": True, "reason": "seen on camera"}, status=409),
            "sales_by_hour": Example(query=PERIOD),
            "days_to_empty": Example(),
            "machine_account": Example(machine, query=PERIOD),
            "list_quarantine": Example(),
            "list_unclaimed": Example(),
            "quarantine_detail": Example({"item": own.item}),
            "replay_quarantined": Example({"item": own.item}, status=409),
        }
        | _tickets(own)
        | _goods(own)
        | _water(own)
        | _payments(own)
    )


def _tickets(own: Business) -> dict[str, Example]:
    ticket = {"ticket": own.ticket}
    return {
        "list_tickets": Example(),
        "ticket_detail": Example(ticket),
        "ticket_history": Example(ticket),
        "create_ticket": Example(body={"kind": "maintenance", "detail": "new filters", "machine": own.machine}),
        "approve_ticket": Example(ticket, {"granted": True}),
        "remind_ticket": Example(ticket),
        "note_ticket": Example(ticket, {"text": "a part is on order"}),
        # Nobody was sent yet: refused by its state.
        "give_up_ticket": Example(ticket, {"resolution": "no key"}, status=409),
        "assign_ticket": Example(ticket, {"assignee": "tom"}),
        "close_ticket": Example(ticket, {"resolution": "spiral cleared"}),
    }


def _goods(own: Business) -> dict[str, Example]:
    shop = {"shop": own.shop}
    return {
        "list_categories": Example(),
        "add_category": Example(body={"name": "Fizzy", "parent": own.category}),
        "change_category": Example({"category": own.category}, {"name": "Cold drinks"}),
        "list_warehouse": Example(shop),
        "receive_goods": Example(shop, {"goods": own.goods, "quantity": 24}, KEY),
        "list_warehouse_movements": Example(shop),
        "list_restocks": Example(shop),
    }


def _water(own: Business) -> dict[str, Example]:
    purifier, pour = {"machine": own.purifier}, {"order": own.pour}
    cold = {"warmth": "cold", "relay": 2, "price_fen_per_litre": 60}
    return {
        "get_purifier": Example(purifier),
        "put_purifier": Example(purifier, {"version": 1, "outlets": [cold], "plan": {"plan": "free", "mode": "sale"}}),
        "water_condition": Example(purifier),
        "list_flows": Example(purifier),
        "list_filter_changes": Example(purifier),
        "list_calibrations": Example(purifier),
        "list_visits": Example(),
        "order_pour": Example(
            body={"member": own.member, "machine": own.purifier, "outlet": "cold", "asked_ml": 500}, headers=KEY
        ),
        "list_pours": Example(),
        "pour_detail": Example(pour),
        "cancel_pour": Example(pour),
        # Held and not in review, which only a caller who may decide gets to know.
        # Held and not poured: refused by its state, like an order.
        "refund_pour": Example(pour, {"amount_fen": 10, "reason": "warm"}, KEY, status=409),
        "list_pour_refunds": Example(pour),
        "decide_pour": Example(pour, {"poured_ml": 400, "reason": "seen on camera"}, status=409),
        "water_by_plan": Example(query=PERIOD),
    }


def _payments(own: Business) -> dict[str, Example]:
    payment, paid = {"payment": own.payment}, {"payment": own.paid}
    return {
        "begin_top_up": Example({"member": own.member}, {"amount_fen": 500, "channel": "weixin_native"}, KEY),
        "list_payments": Example(),
        "payment_detail": Example(paid),
        "refund_payment": Example(paid, {"amount_fen": 100, "reason": "stale"}, KEY),
        # Asked and not stuck: refused by its state.
        "retry_payment_refund": Example({**paid, "refund": own.refund}, status=409),
        "decide_payment_refund": Example({**paid, "refund": own.refund}, {"went": True, "reason": "seen"}, status=409),
        "settle_payment": Example(payment),
        "list_callbacks": Example(),
        "list_payouts": Example(),
        "retry_payout": Example({"payout": own.payout}, status=409),
        "decide_payout": Example({"payout": own.payout}, {"went": False, "reason": "not there"}, status=409),
        "list_codes": Example(),
    }
