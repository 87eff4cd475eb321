"""What the machine's display says about water, in Chinese and English: a sentence for the person who wants a drink."""

from __future__ import annotations

from typing import Final, Literal

from edge_agent.pour.plan import DAY_MS, Standing

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh", "en")

# A renter is reminded this long before the end, and once so little is left.
REMIND_DAYS: Final = 7
REMIND_ML: Final = 20_000

# Why no water is given, in words of the program; each has its two sentences below.
Stop = Literal["leak", "unfit", "filter", "expired", "used_up", "meter", "valve", "test", "machine"]

_STOPS: Final[dict[Stop, dict[Language, str]]] = {
    "leak": {
        "zh": "检测到漏水，已关闭出水，请联系维护人员",
        "en": "Leak found, water is shut off. Please call service",
    },
    "unfit": {"zh": "水质未达标，暂停出水，请联系维护人员", "en": "Water quality is out of range. Please call service"},
    "filter": {"zh": "滤芯已到期，请联系维护人员更换", "en": "A filter is used up. Please call service"},
    "expired": {"zh": "租期已到，请续费", "en": "The rental has ended. Please renew it"},
    "used_up": {"zh": "预付水量已用完，请充值", "en": "The prepaid litres are used up. Please top up"},
    "meter": {"zh": "流量计无应答，暂停出水", "en": "The flow meter does not answer. No water for now"},
    "valve": {"zh": "阀门无应答，暂停出水", "en": "The valve does not answer. No water for now"},
    "test": {"zh": "设备检测中", "en": "Test mode"},
    "machine": {"zh": "暂停服务", "en": "Out of service"},
}


def stopped(stop: Stop, language: Language) -> str:
    """Why no water is given now."""
    return _STOPS[stop][language]


def ready(standing: Standing, language: Language, *, near_end: tuple[str, ...] = ()) -> str:
    """What is offered now, and what runs out soon; `near_end` names the filters that do."""
    zh = language == "zh"
    parts = [_STOPS["test"][language] if standing.plan.mode == "test" else "请取水" if zh else "Ready"]
    if standing.left_ml is not None:
        litres = f"{standing.left_ml / 1000:.1f}"
        parts.append(f"剩余 {litres} 升" if zh else f"{litres} litres left")
        if standing.left_ml < REMIND_ML:
            parts.append("请及时充值" if zh else "please top up soon")
    if standing.left_ms is not None and standing.left_ms < REMIND_DAYS * DAY_MS:
        days = standing.left_ms // DAY_MS + 1
        parts.append(f"租期还有 {days} 天" if zh else f"rental ends in {days} day{'s' * (days != 1)}")
    if near_end:
        names = "、".join(near_end) if zh else ", ".join(near_end)
        parts.append(f"{names} 即将到期" if zh else f"{names} near the end")
    return ("，" if zh else ", ").join(parts)
