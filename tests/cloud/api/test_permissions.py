"""Every operation, asked by everybody: who may not is refused, and nobody reaches another tenant (I13)."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from cloud.accounts.model import POLICY, ROLES, Permission, Role
from cloud.database import Database
from cloud.facades.dialect import Operation
from cloud.facades.native.table import NATIVE
from tests.cloud.api.conftest import bearer
from tests.cloud.api.examples import Example, examples
from tests.cloud.api.world import Business, open_business

OPERATIONS = {operation.name: operation for operation in NATIVE.operations if operation.caller != "public"}


async def ask(
    client: httpx2.AsyncClient, operation: Operation, example: Example, headers: dict[str, str]
) -> httpx2.Response:
    return await client.request(
        operation.method,
        NATIVE.prefix + operation.path.format(**example.path),
        json=example.body,
        params=example.query,
        headers={**example.headers, **headers},
    )


def example_of(operation: Operation, own: Business) -> Example:
    if operation.streams:  # the refusals come before the stream; the stream itself is tested over a socket
        return Example(query={"after": "not a number"}, status=422)
    return examples(own)[operation.name]


async def test_who_may_not_is_refused(client: httpx2.AsyncClient, acme: Business) -> None:
    """All operations in one database: a refusal changes nothing, so nothing can get in the way of the next one."""
    wrong = []
    for name, operation in OPERATIONS.items():
        example = example_of(operation, acme)
        expected = {"": 401, "afl.acme.guessed": 401, "afl.rival.guessed": 401, "nonsense": 401}
        expected |= {acme.elsewhere: 401}
        expected |= {acme.tokens[role]: 403 for role in refused(operation)}
        if isinstance(operation.caller, Permission):
            expected |= {acme.temporary: 403, acme.shopkeeper: 403}
        for token, status in expected.items():
            answer = await ask(client, operation, example, bearer(token) if token else {})
            if answer.status_code != status:
                wrong.append(f"{name}: {answer.status_code} instead of {status}: {answer.text}")
    assert wrong == []


async def test_who_may_is_answered(client: httpx2.AsyncClient, database: Database) -> None:
    """Every operation in a tenant of its own: answered to the least of those who may, and refused to none of them."""
    wrong = []
    for number, (name, operation) in enumerate(OPERATIONS.items()):
        own = await open_business(database, f"acme{number}")
        example = example_of(operation, own)
        least = next(role for role in reversed(ROLES) if role not in refused(operation))
        answer = await ask(client, operation, example, bearer(own.tokens[least]))
        if answer.status_code != (example.status or operation.status):
            wrong.append(f"{name} as {least}: {answer.status_code} {answer.text}")
        for role in admitted(operation) - {least}:
            answer = await ask(client, operation, example, bearer(own.tokens[role]))
            # What can be done once is done; that is another answer than to those who may not.
            if answer.status_code in (401, 403):
                wrong.append(f"{name} as {role}: {answer.status_code} {answer.text}")
    assert wrong == []


def admitted(operation: Operation) -> set[Role]:
    """Who may, where it is a matter of the role; what anybody does about himself may end his session."""
    return set(ROLES) - set(refused(operation)) if isinstance(operation.caller, Permission) else set()


def refused(operation: Operation) -> list[Role]:
    if not isinstance(operation.caller, Permission):
        return []
    return [role for role in ROLES if operation.caller not in POLICY[role]]


async def test_tenants_do_not_see_each_other(client: httpx2.AsyncClient, acme: Business, rival: Business) -> None:
    """Asked for things of acme, whoever works for rival learns nothing, not even that they exist."""
    wrong = []
    for name, operation in OPERATIONS.items():
        if operation.caller == "signed_in":  # about the caller alone
            continue
        foreign = example_of(operation, acme)
        for role in ROLES:
            answer = await ask(client, operation, foreign, bearer(rival.tokens[role]))
            unknown = 404 if role in admitted(operation) else 403
            if "{" in operation.path and answer.status_code != unknown:
                wrong.append(f"{name} as {role}: {answer.status_code} instead of {unknown}: {answer.text}")
            leaked = [thing for thing in belongings(acme) - asked_with(foreign) if thing in answer.text]
            if leaked:
                wrong.append(f"{name} as {role} leaks {leaked}: {answer.text}")
    assert wrong == []


def belongings(own: Business) -> set[str]:
    things = {own.machine, own.spare, own.goods, own.member, own.order, own.ticket, own.viewer, own.item}
    things |= {own.category, own.shop}
    return things | {own.purifier, own.pour, own.payment, own.paid, own.refund, own.payout}


def asked_with(example: Example) -> set[str]:
    return {*example.path.values(), *_texts(example.body)}


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_texts(part) for part in value.values()))
    if isinstance(value, list):
        return set().union(*(_texts(part) for part in value))
    return {value} if isinstance(value, str) else set()


@pytest.mark.parametrize("swapped", ["member", "machine", "goods"])
async def test_ids_in_bodies_are_held_to_the_tenant(
    swapped: str, client: httpx2.AsyncClient, acme: Business, rival: Business
) -> None:
    headers = bearer(rival.tokens["owner"])
    if swapped == "goods":
        aisle = {"aisle": "a1", "board": 1, "motor": 0, "goods": acme.goods, "price_fen": 1, "capacity": 1}
        body: dict[str, Any] = {"version": 1, "aisles": [aisle]}
        answer = await client.put(f"/api/v1/machines/{rival.machine}/planogram", json=body, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["field"] == "goods"
        return
    body = {"member": rival.member, "machine": rival.machine, "aisle": "a1", swapped: getattr(acme, swapped)}
    answer = await client.post("/api/v1/orders", json=body, headers={**headers, "Idempotency-Key": "swapped-ids"})
    assert answer.status_code == 404


async def test_a_machine_id_of_somebody_else_cannot_be_taken(
    client: httpx2.AsyncClient, acme: Business, rival: Business
) -> None:
    body = {"name": "Mine now", "machine": acme.machine}
    answer = await client.post("/api/v1/machines", json=body, headers=bearer(rival.tokens["owner"]))
    assert answer.status_code == 409


def test_every_operation_says_who_may_call_it() -> None:
    for operation in NATIVE.operations:
        assert operation.caller in ("public", "signed_in") or isinstance(operation.caller, Permission)
    assert [operation.name for operation in NATIVE.operations if operation.caller == "public"] == ["login"]
    assert {operation.name for operation in NATIVE.operations if operation.caller == "signed_in"} == {
        "logout",
        "me",
        "change_password",
    }


def test_every_change_is_named_for_the_audit_log() -> None:
    for operation in NATIVE.operations:
        assert (operation.changes is None) == (operation.method == "GET"), operation.name


def test_every_permission_opens_something() -> None:
    assert {operation.caller for operation in NATIVE.operations} >= set(Permission)


def test_roles_are_as_narrow_as_they_are_meant() -> None:
    money = {Permission.WALLETS_TOP_UP, Permission.ORDERS_REFUND, Permission.REVIEWS_DECIDE}
    money |= {Permission.PAYMENTS_REFUND, Permission.PAYMENTS_SETTLE}
    for role in ("operator", "technician", "viewer"):
        assert not POLICY[role] & money, role
    reading = {permission for permission in Permission if permission.endswith(":read")}
    assert POLICY["viewer"] <= reading
    assert [role for role in ROLES if Permission.TENANTS_MANAGE in POLICY[role]] == ["platform"]
