"""What people do with old programs, as data: who asks for what, what becomes of the answer, what happens in between.

`$name` is a value that a step before has kept, or one that every take of a story brings along:

    $take      a number that no other take has
    $device    a purifier that was never seen before
    $phone     of a newcomer whom nobody knows yet, and $password: what old programs send of his
    $new_phone and $new_password, which he has later
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from firmware_sim.demo.book import BRAND, CUSTOMER, FRIEND, OVERDUE, PRODUCT, RENTED_OUT, SHOP, barcode
from firmware_sim.demo.cast import GOODS, MACHINES, PURIFIERS, SCREEN

# Anything that is not nothing.
SOME: Final = "something"


@dataclass(frozen=True, slots=True)
class Ask:
    """`who` asks; `keep` gives names to parts of the answer. It is asked again until these and `until` are in it.

    Parts are named by their place, as in `orders.0.order_id`; in an official account inside of its `data`.
    """

    who: str
    operation: str
    fields: Mapping[str, Any]
    keep: Mapping[str, str] = field(default_factory=dict)
    until: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that no old program does: money or a message arrives, water leaks."""

    what: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Story:
    """Told until it was heard to its end, and with `again_s` once more after so many seconds, on average.

    Of those `by_turns` one is told at a time: one person does them, who fills no machine that he calls empty.
    """

    title: str
    steps: tuple[Ask | Happening, ...]
    again_s: float | None = None
    by_turns: bool = False


def ask(
    who: str,
    operation: str,
    /,
    *,
    keep: Mapping[str, str] | None = None,
    until: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Ask:
    """A step in which somebody asks."""
    return Ask(who, operation, fields, keep or {}, until or {})


def happens(what: str, /, **fields: Any) -> Happening:
    """A step in which something happens."""
    return Happening(what, fields)


# --- the official account ---

IN_SHOP: Final[dict[str, Any]] = {"shop_id": SHOP}

ROUND: Final = Story(
    "the shelves are filled",
    (
        happens("filling"),
        ask("restocker", "3.0", **IN_SHOP, until={"list.0.record_id": SOME}),
        ask("restocker", "4.0", **IN_SHOP, time_cut=2, keep={"orders": "data.num", "money": "data.money"}),
        happens("board", of="official account", shows="$orders orders, $money yuan today"),
    ),
    again_s=8.0,
    by_turns=True,
)

SHELVES: Final = Story(
    "an aisle is looked at and thinned out",
    (
        ask("restocker", "1.0", vendor_name="Dormitory", keep={"machine": "vendor_list.0.vendor_id"}),
        ask("restocker", "2.1", vendor_id="$machine", until={"goods_list.0.vendor_goods_id": SOME}),
        ask("restocker", "2.4", **IN_SHOP, until={"list.0.category_id": SOME}),
        happens("taking out", machine="$machine"),
        ask("restocker", "2.2", aisle_id="$aisle", goods_num="$left"),
    ),
)

FIGURES: Final = Story(
    "the day in figures",
    (
        ask("restocker", "6.1", **IN_SHOP, keep={"order": "order_list.0.vendor_order_id"}),
        ask("restocker", "6.2", vendor_order_id="$order"),
        ask("restocker", "4.1", **IN_SHOP, time_type=1, until={"list.0": SOME}),
        ask("restocker", "4.3", **IN_SHOP),
        ask("restocker", "4.4", **IN_SHOP),
    ),
)

RETURN: Final = Story(
    "a bottle comes back",
    (
        ask("restocker", "5.2.1", **IN_SHOP, goods_bar_code=barcode(0), keep={"goods": "vendor_goods_id"}),
        ask("restocker", "5.2", **IN_SHOP, vendor_goods_id="$goods", keep={"return": "return_id"}),
        ask("restocker", "5.3", **IN_SHOP, return_status=1, until={"list.0.goods_name": GOODS[0].name}),
        ask("restocker", "5.1", return_id="$return", use_name="小满"),
    ),
)

REPAIR: Final = Story(
    "what is out of order is seen to",
    (
        ask("restocker", "1.0", sort=3, keep={"machine": "vendor_list.0.vendor_id"}),
        # His own fault, and not the newest: what machines report comes and goes by itself.
        ask("restocker", "1.1", vendor_id="$machine", keep={"fault": "fault_id"}),
        ask("restocker", "7.2", **IN_SHOP, is_send=0, deal_status=1),
        ask(
            "restocker",
            "7.1",
            **IN_SHOP,
            keep={"person": "person_list.0.vendor_person", "person_phone": "person_list.0.person_phone"},
        ),
        ask("restocker", "7.3", fault_id="$fault", deal_name="$person", name="$person_phone"),
        ask("restocker", "7.3 reminder", fault_id="$fault"),
        ask("restocker", "7.4", fault_id="$fault"),
        ask("restocker", "7.5", fault_id="$fault", until={"fault_info.deal_status": 2}),
        ask("restocker", "7.6", fault_id="$fault", deal_remark="看过了", deal_status=3),
    ),
    again_s=15.0,
    by_turns=True,
)

# --- the water platform: who buys ---

RECEIVER: Final = {
    "name": "霜降",
    "phone": "13900004001",
    "area": "云岭市",
    "address": "大学路 3 号",
    "zipcode": "519000",
}
ONE: Final[dict[str, Any]] = {"content": [{"product_id": PRODUCT, "quantity": 1}], "receiver": RECEIVER}
SENT: Final[dict[str, Any]] = {"company": "云岭快递", "tracking_num": "YL$take", "delivery_clerk": "谷雨"}

BOUGHT: Final = Story(
    "a purifier is bought for the kitchen",
    (
        ask("customer", "AD-02", **ONE, keep={"order": "order_id"}),
        ask("customer", "AD-07", OID="$order"),
        happens("payment", order="$order"),
        ask("customer", "AD-10", OID="$order", until={"data.transaction_no": SOME}),
        ask("office", "AD-05", OID="$order", **SENT),
        ask("office", "AD-06", OID="$order", tracking_num="YL0$take"),
        ask("customer", "AD-04", OID="$order", until={"data.tracking_num": "YL0$take"}),
        ask("customer", "AD-11", OID="$order"),
        ask("customer", "AD-03", OID="$order"),
        ask("office", "AD-01", keep={"orders": "total"}),
        happens("purchase"),
        happens("board", of="water platform", shows="$orders orders"),
    ),
    again_s=12.0,
)

SENT_BACK: Final = Story(
    "another one is sent back",
    (
        ask("customer", "AD-02", **ONE, keep={"order": "order_id"}),
        ask("customer", "AD-08", OID="$order"),
        happens("payment", order="$order"),
        ask("office", "AD-05", OID="$order", **SENT),
        ask("customer", "AD-11", OID="$order"),
        ask("customer", "AD-12", OID="$order"),
        ask("office", "AD-13", OID="$order"),
        ask("office", "AD-14", OID="$order"),
        ask("customer", "AD-03", OID="$order", until={"data.state": 6}),
    ),
)

FORGOTTEN: Final = Story(
    "one is ordered and never paid",
    (
        ask("customer", "AD-02", **ONE, keep={"order": "order_id"}),
        ask("customer", "AD-09", OID="$order"),
        ask("customer", "POST /orders/<OID>/status/close", OID="$order"),
        ask("platform", "AD-15", OID="$order"),
    ),
)

EARNED: Final = Story(
    "who recommended the buyer is paid",
    (
        ask("office", "AA-05", UID=CUSTOMER, rid=FRIEND),
        ask("customer", "AD-02", **ONE, keep={"order": "order_id"}),
        ask("customer", "AD-07", OID="$order"),
        happens("payment", order="$order"),
        ask("office", "AD-05", OID="$order", **SENT),
        ask("customer", "AD-11", OID="$order"),
        ask("friend", "AE-02.commission", until={"data.available": SOME}),
        ask("office", "AE-01.commission", until={"commission.0": SOME}),
        ask("friend", "AE-03.commission", way="weixin", payee="o-friend"),
    ),
)

# --- who comes and goes ---

NEWCOMER: Final = Story(
    "somebody registers, forgets his password, changes his number, and leaves",
    (
        ask("stranger", "AA-02", vid=BRAND, mobile="$phone"),
        happens("code", phone="$phone"),
        ask("stranger", "AA-03", vid=BRAND, mobile="$phone", code="$code", name="小寒", keep={"uid": "uid"}),
        ask("stranger", "AA-RC", uid="$uid", mobile="$phone"),
        happens("code", phone="$phone"),
        ask("stranger", "AA-07", uid="$uid", pwd="$password", code="$code"),
        ask("newcomer", "AA-04", UID="$uid"),
        ask("newcomer", "AA-05", UID="$uid", name="小寒", area="云岭市"),
        ask("newcomer", "AA-06", UID="$uid", old_pwd="$password", new_pwd="$new_password"),
        ask("newcomer", "AA-06A", UID="$uid", mobile="$new_phone"),
        happens("code", phone="$new_phone"),
        ask("newcomer", "AA-06B", UID="$uid", mobile="$new_phone", code="$code"),
        ask("stranger", "AA-02", vid=BRAND, mobile="$new_phone"),
        happens("code", phone="$new_phone"),
        ask(
            "stranger",
            "AA-08",
            vid=BRAND,
            mobile="$new_phone",
            code="$code",
            weixin={"nick": "小寒", "OpenID": "o-$take", "UnionID": "u-$take"},
        ),
        ask("newcomer", "AA-09", UID="$uid"),
        ask("office", "AA-01", mobile="$new_phone", until={"users.0.uid": "$uid"}),
        ask("platform", "AA-10", UID="$uid"),
    ),
)

# --- what stands in kitchens ---

LENT: Final = Story(
    "a purifier is bound, shared, repaired, and taken back",
    (
        ask("platform", "AB-02", device_ids=["$device"], type=0, model="A01", hw_version="1.0", vendor_id=BRAND),
        ask("office", "AB-04", DID="$device", model="A02", brand="云岭"),
        ask("office", "AB-06", DID="$device", platform="ESP8266", net_type="GPRS", dev_idcd="86$take"),
        ask("office", "AB-08", DID="$device", state=1, expire=1798700000),
        ask("customer", "AB-11", DID="$device"),
        ask("customer", "AB-04", DID="$device", name="厨房净水机"),
        ask("customer", "AB-05", DID="$device", until={"data.dev_idcd": "86$take"}),
        ask("customer", "AB-07", DID="$device", until={"data.state": 1}),
        ask("customer", "AB-15", DID="$device", user_id=FRIEND),
        ask("friend", "AB-03", DID="$device", until={"data.user_id": CUSTOMER}),
        ask("friend", "AB-16", DID="$device"),
        ask("customer", "AE-03.tickets", type=4, detail="出水很慢", device_id="$device", keep={"ticket": "ticket_id"}),
        ask("office", "POST /tickets/<TID>/approve", TID="$ticket", check_result=True),
        ask("office", "POST /tickets/<TID>/dispatch", TID="$ticket", name="立夏", mobile="13900002001"),
        ask("customer", "POST /tickets/<TID>/remind", TID="$ticket"),
        ask("office", "POST /tickets/<TID>/note", TID="$ticket", detail="在路上"),
        ask("office", "POST /tickets/<TID>/finish", TID="$ticket", remark="换了滤芯"),
        ask("customer", "POST /tickets/<TID>/rate", TID="$ticket", rate_value=5, rate_detail="很快"),
        ask("customer", "AE-02.tickets", until={"data.total": SOME}),
        ask("customer", "AB-13", DID="$device"),
        ask("office", "AB-12", DID="$device"),
        ask("platform", "AB-14", DID="$device"),
    ),
)

WATCHED: Final = Story(
    "the office looks at what the purifiers report",
    (
        ask("office", "AB-01", until={"devices.0": SOME}),
        ask("office", "AB-09", DID=PURIFIERS[0].machine, until={"data.run_state.online_tms": SOME}),
        ask("office", "AB-10", DID=PURIFIERS[0].machine, until={"data.statistics.pours": SOME}),
    ),
)

LEAK: Final = Story(
    "a purifier leaks, and its ticket opens by itself",
    (
        ask("office", "AB-10", DID=PURIFIERS[0].machine, until={"data.statistics.pours": SOME}),
        happens("leak", machine=PURIFIERS[0].machine),
        ask("office", "AE-01.tickets", type=4, device_id=PURIFIERS[0].machine, keep={"ticket": "tickets.0.ticket_id"}),
        ask("office", "POST /tickets/<TID>/dispatch", TID="$ticket", name="立夏", mobile="13900002001"),
        ask("agent", "AE-02.tickets", until={"data.total": SOME}),
    ),
)

CARTRIDGE: Final = Story(
    "a filter is near its end, and somebody puts in a new one",
    (
        ask(
            "office",
            "AE-01.tickets",
            type=5,
            status=1,
            device_id=PURIFIERS[0].machine,
            keep={"ticket": "tickets.0.ticket_id"},
        ),
        ask("office", "POST /tickets/<TID>/dispatch", TID="$ticket", name="立夏", mobile="13900002001"),
        happens("new filter", machine=PURIFIERS[0].machine, position=SCREEN),
        ask("office", "GET /tickets/<TID>", TID="$ticket", until={"data.status": 6}),
    ),
    again_s=10.0,
)

FETCHED: Final = Story(
    "a rental that nobody renewed is over, and its purifier is fetched",
    (
        ask("friend", "GET /rentals", until={"rentals.0.status": "dismantling"}),
        ask("office", "AE-01.tickets", type=6, device_id=RENTED_OUT, keep={"ticket": "tickets.0.ticket_id"}),
        ask("office", "POST /tickets/<TID>/dispatch", TID="$ticket", name="立夏", mobile="13900002001"),
        ask("office", "POST /rentals/<RID>/end", RID=OVERDUE),
        ask("office", "GET /tickets/<TID>", TID="$ticket", until={"data.status": 6}),
    ),
)

JOBS: Final = Story(
    "every kind of job is given",
    tuple(
        ask("office", "AE-03.tickets", type=kind, detail="演示工单", device_id=MACHINES[0].machine)
        for kind in range(1, 7)
    ),
)

# --- what is offered ---

OFFER: Final[dict[str, Any]] = {
    "type": 1,
    "name": "云岭台上净水机",
    "desc": "免安装",
    "price": 1680,
    "orig_price": 1980,
    "install": True,
    "rent": {"deposit": 100, "config": [{"name": "30天", "key": "30d", "value": 60}]},
    "commis": {"enabled": True, "config": [10, 5, 2]},
    "specification": {
        "mode": 0,
        "filters": [{"order": 1, "name": "PP 棉", "timer_mode": 0, "lifetime": 4320, "worklife": 540}],
        "flowmeter": {"measure_mode": 0, "config": [{"name": "常温", "key": "normal", "value": 30}]},
    },
}

RENTED: Final = Story(
    "a new purifier is offered, rented, fetched, and offered no more",
    (
        ask("office", "AC-02", **OFFER, keep={"product": "prod_id"}),
        ask("office", "AC-04", PID="$product", price=1580.5),
        ask("office", "AC-06", PID="$product", commis={"enabled": True, "config": [12, 6, 2]}),
        ask("customer", "AC-01", until={"products.0": SOME}),
        ask("customer", "AC-03", PID="$product"),
        ask("customer", "AC-05", PID="$product"),
        ask(
            "customer",
            "AD-02",
            content=[{"product_id": "$product", "quantity": 1, "period": "30d"}],
            receiver=RECEIVER,
            keep={"order": "order_id"},
        ),
        ask("customer", "AD-07", OID="$order"),
        happens("payment", order="$order"),
        ask("office", "AE-01.tickets", type=1, order_id="$order", until={"tickets.0": SOME}),
        ask("customer", "GET /rentals", keep={"rental": "rentals.0.rental_id"}),
        ask("platform", "AB-02", device_ids=["$device"], vendor_id=BRAND),
        ask("office", "POST /rentals/<RID>/begin", RID="$rental", device_id="$device"),
        ask("customer", "POST /rentals/<RID>/quit", RID="$rental"),
        ask("office", "AE-01.tickets", type=6, device_id="$device", until={"tickets.0": SOME}),
        ask("office", "POST /rentals/<RID>/end", RID="$rental"),
        ask("platform", "AB-14", DID="$device"),
        ask("office", "AC-07", PID="$product"),
    ),
)

# --- the platform's own business ---

VENDOR: Final[dict[str, Any]] = {"name": "白露净水", "abbv": "白露", "contact": "白露", "email": "hello@example.com"}

BRANDS: Final = Story(
    "a brand signs, moves, and closes",
    (
        ask("platform", "AX-02", user="brand$take", pwd="$password", mobile="$phone", **VENDOR, keep={"vid": "vid"}),
        ask("platform", "AX-04", UID="$vid", contact="寒露", area="云岭市"),
        ask("platform", "AX-05", UID="$vid", pwd="$new_password"),
        ask("platform", "AX-06", UID="$vid", mobile="$new_phone"),
        ask("platform", "AX-07", UID="$vid", mp_appid="wx-demo", mch_appid="mch-demo"),
        ask("platform", "AX-08", UID="$vid", theme="dew"),
        ask("platform", "AX-10", UID="$vid", title="合作协议", number="HT-$take"),
        ask("platform", "AX-09", UID="$vid", keep={"signing": "signings.0.id"}),
        ask("platform", "AX-11", UID="$vid", id="$signing", remark="五年"),
        ask("platform", "AX-12", UID="$vid", id="$signing"),
        ask("platform", "AX-03", UID="$vid", until={"data.mobile": "$new_phone"}),
        ask("platform", "AX-01", until={"vendors.0": SOME}),
        ask("platform", "AX-13", UID="$vid"),
    ),
)

STORIES: Final = (
    *(ROUND, SHELVES, FIGURES, RETURN, REPAIR),
    *(BOUGHT, SENT_BACK, FORGOTTEN, EARNED, NEWCOMER),
    *(LENT, WATCHED, LEAK, CARTRIDGE, FETCHED, JOBS, RENTED, BRANDS),
)
