"""The 96 operations of the two documentations that old programs were written against, and what they answer.

By the documentation's numbers. An operation of the water platform is a method and a path, one of the official account a
file and a flag.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

VENDING: Final[dict[str, str]] = {
    "1.0": "vendor_get get_vendor_list",
    "1.1": "vendor_save save_vendor_status",
    "2.0": "aisle_get get_aisle_list",
    "2.1": "vendor_goods_get get_aisle_goods",
    "2.2": "aisle_save save_aisle",
    "2.3": "aisle_save aisle_record",
    "2.4": "vendor_goods_get get_oa_goods",
    "3.0": "vendor_record_get get_record_list",
    "4.0": "vendor_board get_today_data",
    "4.1": "vendor_board get_date_board",
    "4.3": "vendor_board get_home_data",
    "4.4": "vendor_board get_repl_data",
    "5.1": "return_record_save return_save",
    "5.2": "return_record_save photo_return_save",
    "5.2.1": "vendor_goods_get get_goods_bycode",
    "5.3": "return_record_get get_return_list",
    "6.1": "vendor_order_get get_order_list",
    "6.2": "vendor_order_get get_order_info",
    "7.1": "vendor_get get_vendor_person",
    "7.2": "fault_get get_fault_list",
    "7.3": "fault_save is_send_fault",
    "7.3 reminder": "fault_save is_reminder",
    "7.4": "fault_get is_reminder",
    "7.5": "fault_get get_fault_info",
    "7.6": "fault_save save_deal",
    "8.0": "login_save login_mp",
}

IOT: Final[dict[str, str]] = {
    "AA-01": "GET /users",
    "AA-02": "POST /users/code",
    "AA-03": "POST /users",
    "AA-04": "GET /users/<UID>",
    "AA-05": "PUT /users/<UID>",
    "AA-06": "PUT /users/<UID>/pwd",
    "AA-06A": "GET /users/<UID>/mob/code",
    "AA-06B": "PUT /users/<UID>/mob",
    "AA-RC": "POST /users/rst/code",
    "AA-07": "POST /users/rst",
    "AA-08": "POST /users/bind",
    "AA-09": "DELETE /users/<UID>bind",
    "AA-10": "DELETE /users/<UID>",
    "AB-01": "GET /devices",
    "AB-02": "POST /devices",
    "AB-03": "GET /devices/<DID>",
    "AB-04": "PUT /devices/<DID>",
    "AB-05": "GET /devices/<DID>/prof",
    "AB-06": "PUT /devices/<DID>/prof",
    "AB-07": "GET /devices/<DID>/svc",
    "AB-08": "PUT /devices/<DID>/svc",
    "AB-09": "GET /devices/<DID>/stat",
    "AB-10": "GET /devices/<DID>/stat",
    "AB-11": "POST /devices/<DID>/bind",
    "AB-12": "DELETE /devices/<DID>/infos",
    "AB-13": "DELETE /devices/<DID>/bind",
    "AB-14": "DELETE /devices/<DID>",
    "AB-15": "POST /devices/<DID>/bind",
    "AB-16": "DELETE /devices/<DID>/share",
    "AC-01": "GET /products",
    "AC-02": "POST /products",
    "AC-03": "GET /products/<PID>",
    "AC-04": "PUT /products/<PID>",
    "AC-05": "GET /products/<PID>/prof",
    "AC-06": "PUT /products/<PID>/prof",
    "AC-07": "DELETE /products/<PID>",
    "AD-01": "GET /orders",
    "AD-02": "POST /orders",
    "AD-03": "GET /orders/<OID>",
    "AD-04": "GET /orders/<OID>/delivery",
    "AD-05": "POST /orders/<OID>/delivery",
    "AD-06": "PUT /orders/<OID>/delivery",
    "AD-07": "POST /orders/<OID>/prepay/weixin",
    "AD-08": "POST /orders/<OID>/prepay/credit",
    "AD-09": "POST /orders/<OID>/prepay/debit",
    "AD-10": "GET /orders/<OID>/payment",
    "AD-11": "POST /orders/<OID>/status/confirm",
    "AD-12": "POST /orders/<OID>/status/return",
    "AD-13": "POST /orders/<OID>/status/consent",
    "AD-14": "PUT /orders/<OID>/status/refund",
    "AD-15": "DELETE /orders/<OID>",
    "AE-01.commission": "GET /commission",
    "AE-01.tickets": "GET /tickets",
    "AE-02.commission": "GET /commission/summary",
    "AE-02.tickets": "GET /tickets/summary",
    "AE-03.commission": "POST /commission/",
    "AE-03.tickets": "POST /tickets/",
    "AX-01": "GET /vendors",
    "AX-02": "POST /vendors",
    "AX-03": "GET /vendors/<UID>",
    "AX-04": "PUT /vendors/<UID>",
    "AX-05": "PUT /vendors/<UID>/pwd",
    "AX-06": "PUT /vendors/<UID>/mob",
    "AX-07": "PUT /vendors/<UID>/mxx",
    "AX-08": "PUT /vendors/<UID>/cfg",
    "AX-09": "GET /vendors/<UID>/signing",
    "AX-10": "POST /vendors/<UID>/signing",
    "AX-11": "PUT /vendors/<UID>/signing",
    "AX-12": "DELETE /vendors/<UID>/signing",
    "AX-13": "DELETE /vendors/<UID>",
}

DOCUMENTED: Final = VENDING | IOT


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `content_type` as the header says it, `body` as text."""

    status: int
    content_type: str
    body: str


@dataclass
class Answers:
    """The fullest answer that each documented operation gave, and every refusal."""

    fullest: dict[str, Answer] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def hear(self, operation: str, answer: Answer, refusal: str | None) -> None:
        """Take note of one answer; what is in no documentation counts only when it is refused."""
        if refusal is not None:
            self.refused.append(f"{operation}: {refusal}")
        if refusal is not None or operation not in DOCUMENTED:
            return
        before = self.fullest.get(operation)
        if before is None or len(before.body) < len(answer.body):
            self.fullest[operation] = answer

    @property
    def line(self) -> str:
        """How many of how many were answered."""
        return f"{len(self.fullest)}/{len(DOCUMENTED)}"

    def write(self, path: Path) -> None:
        """Write all of it down."""
        answered = {operation: asdict(answer) for operation, answer in sorted(self.fullest.items())}
        rows = {"answered": answered, "refused": self.refused}
        path.write_text(json.dumps(rows, ensure_ascii=False, indent=1), encoding="utf-8")
