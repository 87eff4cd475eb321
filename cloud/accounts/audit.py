"""The audit log: who did what, in a chain where a changed or missing row is found."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from cloud.accounts import store
from cloud.accounts.model import Subject
from cloud.database import Work


async def record(work: Work, subject: Subject, action: str, detail: dict[str, Any], request_id: str) -> None:
    """Append one row in the transaction of its effects: what is not recorded did not happen, and the reverse."""
    seq, previous = await store.audit_head(work, subject.tenant, lock=True)
    row = {
        "tenant": subject.tenant,
        "seq": seq + 1,
        "at_ms": work.now_ms,
        "actor": subject.user,
        "role": subject.role,
        "action": action,
        "detail": detail,
        "request_id": request_id,
        "previous": previous,
    }
    await store.append_audit(work, {**row, "hash": row_hash(row)})


async def audit_breaks(work: Work, tenant: str) -> list[int]:
    """Numbers of the rows at which a tenant's chain does not fit together; empty when nobody touched it."""
    breaks, expected_seq, expected_previous = [], 1, ""
    for row in await store.audit_rows(work, tenant):
        if (row["seq"], row["previous"], row["hash"]) != (expected_seq, expected_previous, row_hash(row)):
            breaks.append(row["seq"])
        expected_seq, expected_previous = row["seq"] + 1, row["hash"]
    seq, head = await store.audit_head(work, tenant)
    if (seq + 1, head) != (expected_seq, expected_previous):
        breaks.append(seq)
    return breaks


async def audit_page(work: Work, subject: Subject, *, after: int, limit: int) -> list[dict[str, Any]]:
    """Rows of the caller's tenant after number `after`."""
    return await store.audit_rows(work, subject.tenant, after=after, limit=limit)


def row_hash(row: dict[str, Any]) -> str:
    """SHA-256 over everything in a row but its own hash."""
    covered = {name: value for name, value in row.items() if name != "hash"}
    return hashlib.sha256(json.dumps(covered, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
