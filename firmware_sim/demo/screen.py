"""One screen that refreshes: machines, aisles, last sales, money, faults, and the addresses to open.

On a terminal it is drawn in place; into a pipe it says one line every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import locale
import os
import time
from pathlib import Path
from typing import Any, Final

from rich.columns import Columns
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel as Box
from rich.table import Table
from rich.text import Text

from firmware_sim.demo.people import TROUBLE, Tally
from firmware_sim.demo.stage import Stage
from shared.quantities import format_yuan

REFRESH_S: Final = 1.0
PLAIN_EVERY_S: Final = 5.0
SALES_SHOWN: Final = 8
NEWS_SHOWN: Final = 8
FAULTS_SHOWN: Final = 6
PICTURE_COLUMNS: Final = 130
HOLDINGS: Final = ("cash", "channel", "funding")

WORDS: Final[dict[str, str]] = {
    "machines": "机器",
    "machine": "机器",
    "state": "状态",
    "sold": "售出",
    "left": "库存",
    "aisles": "货道",
    "temperature": "温度",
    "selling": "营业中",
    "offline": "离线",
    "sales": "最近订单",
    "money": "资金",
    "wallet": "会员钱包",
    "advances": "预收款",
    "channel": "支付渠道",
    "commission": "佣金",
    "deposits": "押金",
    "leaving": "待付",
    "escrow": "托管",
    "revenue": "收入",
    "cash": "现金",
    "funding": "充值",
    "shrinkage": "损耗",
    "faults": "故障",
    "news": "动态",
    "official account": "公众号",
    "water platform": "物联网平台",
    "documented operations answered": "已应答的文档接口",
    "none": "无",
    "addresses": "地址",
    "delivered": "已出货",
    "refunded": "已退款",
    "review": "待核实",
    "held": "待认领",
    "claimed": "出货中",
    "poured": "已取水",
    "water": "净水机",
    "pours": "最近取水",
}


def chinese() -> bool:
    """Whether the terminal's language is Chinese."""
    named = os.environ.get("LC_ALL") or os.environ.get("LANG") or locale.getlocale()[0] or ""
    return named.startswith("zh")


class Screen:
    """Draws the stage until it is cancelled."""

    def __init__(self, stage: Stage, tally: Tally, title: str, console: Console) -> None:
        self._stage = stage
        self._tally = tally
        self._title = title
        self._console = console
        self._chinese = chinese()
        self._began_s = time.monotonic()

    async def run(self) -> None:
        """Refresh for ever; a question that fails shows the last picture a little longer."""
        if not self._console.is_terminal:
            await self._say_lines()
            return
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                with contextlib.suppress(*TROUBLE):
                    live.update(await self._picture(), refresh=True)
                await asyncio.sleep(REFRESH_S)

    async def save(self, path: Path) -> None:
        """Write the screen as it is now to an SVG file, for a report or the README."""
        paper = Console(record=True, width=PICTURE_COLUMNS, file=io.StringIO(), force_terminal=True)
        paper.print(await self._picture(hide_secrets=True))
        paper.save_svg(str(path), title="AisleFlow")

    async def _say_lines(self) -> None:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            with contextlib.suppress(*TROUBLE):
                api = self._stage.api
                states = ("delivered", "refunded", "review", "held", "claimed")
                counted = [f"{state} {await api.count('/orders', state=state)}" for state in states]
                counted.append(f"poured {await api.count('/pours', state='poured')}")
                faults = await api.count("/faults", active=True)
                elapsed = time.monotonic() - self._began_s
                self._console.print(
                    f"{elapsed:5.0f} s  placed {self._tally.orders_placed}  {'  '.join(counted)}  faults {faults}",
                    highlight=False,
                    soft_wrap=True,
                )

    def _(self, word: str) -> str:
        return WORDS.get(word, word) if self._chinese else word

    async def _picture(self, *, hide_secrets: bool = False) -> Group:
        api = self._stage.api
        machines = [one for one in await api.every("/machines") if one["machine"] in self._stage.panels]
        orders = (await api.get("/orders", page_size=SALES_SHOWN))["items"]
        faults = (await api.get("/faults", active=True, page_size=FAULTS_SHOWN))["items"]
        accounts = await api.every("/ledger/accounts")
        aisles = {name: await panel.ask("aisles") for name, panel in self._stage.panels.items()}
        taps = {one.machine: await self._stage.panels[one.machine].ask("water") for one in self._stage.cast.purifiers}
        pours = (await api.get("/pours", page_size=SALES_SHOWN))["items"]
        elapsed = int(time.monotonic() - self._began_s)
        heading = Text(f" AisleFlow  {self._title}  {elapsed // 60:d}:{elapsed % 60:02d}  ", style="bold reverse")
        return Group(
            heading,
            self._machines(machines, aisles),
            self._shelves(aisles),
            Columns([self._sales(orders), self._money(accounts)], expand=True),
            *([Columns([self._water(taps), self._pours(pours)], expand=True)] if taps else []),
            Columns([self._faults(faults), self._news()], expand=True),
            self._addresses("..." if hide_secrets else self._stage.sign_in["password"]),
        )

    def _machines(self, machines: list[dict[str, Any]], aisles: dict[str, list[dict[str, Any]]]) -> Table:
        table = Table(title=self._("machines"), expand=True, title_justify="left")
        for column in ("machine", "state", "aisles", "left", "faults"):
            table.add_column(self._(column))
        for machine in machines:
            shelf = aisles.get(machine["machine"], [])
            locked = sum(aisle["locked"] is not None for aisle in shelf)
            if not machine["online"]:
                state = Text(self._("offline"), style="red")
            elif machine["selling"]:
                state = Text(self._("selling"), style="green")
            else:
                state = Text(machine["selling_reason"] or "", style="yellow")
            table.add_row(
                f"{machine['machine']}  {machine['name']}",
                state,
                f"{len(shelf)}" + (f" ({locked} locked)" if locked else ""),
                str(sum(aisle["on_hand"] for aisle in shelf)),
                str(machine["active_faults"]),
            )
        return table

    def _shelves(self, aisles: dict[str, list[dict[str, Any]]]) -> Group:
        """One character an aisle: how full, x for locked."""
        lines = []
        for name, shelf in ((name, shelf) for name, shelf in aisles.items() if shelf):
            line = Text(f" {name} ")
            for aisle in shelf:
                if aisle["locked"]:
                    line.append("x", style="bold red")
                else:
                    level = min(aisle["on_hand"], 9)
                    line.append(str(level), style="green" if level > 3 else "yellow" if level else "red")
            lines.append(line)
        return Group(*lines)

    def _sales(self, orders: list[dict[str, Any]]) -> Box:
        styles = {"delivered": "green", "refunded": "cyan", "review": "magenta"}
        table = Table.grid(padding=(0, 1))
        for order in orders:
            table.add_row(
                order["machine"],
                order["aisle"],
                order["goods"],
                format_yuan(order["price_fen"]),
                order["means"],
                Text(self._(order["state"]), style=styles.get(order["state"], "")),
            )
        return Box(table, title=self._("sales"))

    def _water(self, taps: dict[str, dict[str, Any]]) -> Box:
        """What each purifier's display says, and how much life its filters have left."""
        lines = []
        for name, tap in taps.items():
            flowing = "" if tap["pouring_ml"] is None else f"  {tap['pouring_ml']} ml"
            lines.append(Text(f"{name}  {tap['display']['zh' if self._chinese else 'en']}{flowing}"))
            lines += [Text(f"  {one['name']}: {one['percent_left']} %", style="dim") for one in tap["filters"]]
        return Box(Group(*lines), title=self._("water"))

    def _pours(self, pours: list[dict[str, Any]]) -> Box:
        styles = {"poured": "green", "refunded": "cyan", "review": "magenta"}
        table = Table.grid(padding=(0, 1))
        for pour in pours:
            flowed = "..." if pour["poured_ml"] is None else str(pour["poured_ml"])
            state = Text(self._(pour["state"]), style=styles.get(pour["state"], ""))
            volume = Text(f"{flowed}/{pour['asked_ml']} ml", justify="right")
            table.add_row(pour["machine"], pour["outlet"], volume, format_yuan(pour["charged_fen"]), state)
        return Box(table, title=self._("pours"))

    def _money(self, accounts: list[dict[str, Any]]) -> Box:
        sums: dict[str, int] = {}
        for account in accounts:
            sums[account["kind"]] = sums.get(account["kind"], 0) + account["balance_fen"]
        table = Table.grid(padding=(0, 2))
        for kind, total in sorted(sums.items()):
            if not total:
                continue
            # In the books what the business holds is a debit, negative; people expect what is in the box.
            shown = -total if kind in HOLDINGS else total
            table.add_row(self._(kind), Text(format_yuan(shown), justify="right"))
        return Box(table, title=f"{self._('money')} (CNY)")

    def _faults(self, faults: list[dict[str, Any]]) -> Box:
        lines = [f"{fault['machine']} {fault['scope']}: {fault['code']}" for fault in faults]
        return Box(Text("\n".join(lines) or self._("none"), style="red" if lines else ""), title=self._("faults"))

    def _news(self) -> Box:
        """What the old programs show on their first pages, and the last things that happened."""
        answered = {"documented operations answered": self._tally.answers.line}
        boards = [f"{self._(name)}: {text}" for name, text in (self._tally.boards | answered).items()]
        return Box("\n".join([*boards, *self._tally.news[-NEWS_SHOWN:]]), title=self._("news"))

    def _addresses(self, password: str) -> Box:
        url, person = self._stage.api.url, self._stage.sign_in
        folder = os.path.relpath(self._stage.folder)
        return Box(
            f"{url}/  {url}/openapi.json  {url}/metrics  {url}/readyz\n"
            f"tenant={person['tenant']} login={person['login']} password={password} (this run only)\n"
            f"broker: {self._stage.broker.name} on 127.0.0.1:{self._stage.broker.machines_port}"
            f"   files: {folder}   Ctrl-C ends and prints the account",
            title=self._("addresses"),
        )
