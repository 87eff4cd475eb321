"""Machines, and what lies where in them.

What a machine acts on is one document, its configuration. Both sheets here change it, so they collect their changes in
`Configurations`, and each machine gets one new version for the whole run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cloud.accounts.store import units
from cloud.load.columns import FIRST, Fen, Id, Lasting, Moment, Name, Phone, Row, Text
from cloud.load.noun import Draft, Key, Noun, Run, TableNoun, values_of
from cloud.load.nouns.goods import GOODS
from cloud.machines.planogram import current_configs, put_configs
from cloud.machines.store import find_aisles, lock_machines, machine_directory, machines, owners, taken_aisle_ids
from shared.messages import AisleConfig, MachineConfig, config_problems
from shared.water import PurifierConfig

AisleId = Annotated[str, Meta(pattern=r"^AI[1-9][0-9]{0,14}$(?!\n)")]
Tenths = Annotated[int, Meta(ge=-400, le=1200)]
# As machines take it.
Version = Annotated[int, Meta(ge=0, le=2**53)]


class Configurations:
    """The configurations of one run, as they are by now; those that changed are written at the end."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str], MachineConfig] = {}
        self._now: dict[tuple[str, str], MachineConfig] = {}
        # New machines that have had configurations elsewhere: theirs are counted on from there.
        self._counted: set[tuple[str, str]] = set()
        # The ids that new aisles came with, by brand and (machine, aisle).
        self.aisle_ids: defaultdict[str, dict[tuple[str, str], str]] = defaultdict(dict)

    @classmethod
    def of(cls, run: Run) -> Configurations:
        """The one of this run."""
        return run.kept.setdefault(cls, cls())  # type: ignore[no-any-return]

    async def read(self, run: Run, brand: str, wanted: Collection[str] | None) -> dict[str, MachineConfig]:
        """The configurations of these machines, or of all; version 0 stands for none."""
        missing = None if wanted is None else [one for one in wanted if (brand, one) not in self._now]
        if missing is None or missing:
            found = await current_configs(run.work, brand, missing)
            for machine in found if missing is None else missing:
                config = found.get(machine) or MachineConfig(machine=machine, version=0, aisles=())
                self._before.setdefault((brand, machine), config)
                self._now.setdefault((brand, machine), config)
        ours = {of: config for (whose, of), config in self._now.items() if whose == brand}
        return ours if wanted is None else {of: ours[of] for of in wanted}

    def revise(self, brand: str, machine: str, change: Callable[[MachineConfig], MachineConfig]) -> None:
        """Change what was read."""
        self._now[brand, machine] = change(self._now[brand, machine])

    def count_from(self, brand: str, machine: str, version: int) -> None:
        """What a new machine gets in this run is its configuration `version`, whatever it says."""
        before = msgspec.structs.replace(self._before[brand, machine], version=version - 1)
        self._before[brand, machine] = self._now[brand, machine] = before
        self._counted.add((brand, machine))

    async def write(self, run: Run) -> None:
        """Decide the next version of all that changed, and send them."""
        changed: defaultdict[str, list[MachineConfig]] = defaultdict(list)
        for (brand, machine), config in sorted(self._now.items()):
            before = self._before[brand, machine]
            if config != before or (brand, machine) in self._counted:
                changed[brand].append(msgspec.structs.replace(config, version=before.version + 1))
        for brand, configs in changed.items():
            ids = self.aisle_ids[brand]
            await put_configs(run.work, run.credentials, brand, configs, run.actor, aisle_ids=ids)
        self._before = dict(self._now)
        self._counted.clear()


class MachineRow(Lasting, frozen=True, kw_only=True):
    """One machine: a vending machine or a purifier."""

    machine: Annotated[Id, Meta(title="设备编号", description="The machine's id, kept as it is, e.g. VI107.")]
    name: Annotated[Name, Meta(title="设备名称", description="What people call it.")]
    place: Annotated[Text, Meta(title="地址", description="Where it stands.")] = ""
    shop: Annotated[Id | None, Meta(title="门店编号", description="The shop that it stands in.")] = None
    number: Annotated[Text, Meta(title="设备号", description="The number on its door.")] = ""
    keeper: Annotated[Text, Meta(title="负责人", description="Who looks after it.")] = ""
    keeper_phone: Annotated[Phone, Meta(title="负责人电话", description="The keeper's phone.")] = ""
    drop_sensor: Annotated[bool, Meta(title="掉货检测", description="Whether it sees goods fall.")] = True
    temperature_low_tenths_c: Annotated[
        Tenths | None, Meta(title="最低温度（0.1℃）", description="Below it nothing is sold, in tenths of a degree.")
    ] = None
    temperature_high_tenths_c: Annotated[
        Tenths | None, Meta(title="最高温度（0.1℃）", description="Above it nothing is sold, in tenths of a degree.")
    ] = None
    purifier: Annotated[
        PurifierConfig | None,
        Meta(title="净水配置", description="Outlets, plan, filters and limits of a purifier; JSON in a table's cell."),
    ] = None
    claimed: Annotated[
        Moment | None,
        Meta(title="激活时间", description="When its secret was handed out last.", extra_json_schema=FIRST),
    ] = None
    revoked: Annotated[
        Moment | None,
        Meta(title="吊销时间", description="When that secret was made worthless.", extra_json_schema=FIRST),
    ] = None
    credential_version: Annotated[
        Version,
        Meta(title="凭证版本", description="How many secrets were handed out for it.", extra_json_schema=FIRST),
    ] = 0
    config_version: Annotated[
        Version,
        Meta(title="配置版本", description="How many configurations were decided for it.", extra_json_schema=FIRST),
    ] = 0


_NONE = MachineConfig(machine="none", version=0, aisles=())
_CONFIGURED = ("drop_sensor", "temperature_low_tenths_c", "temperature_high_tenths_c", "purifier")


class _Machines(TableNoun[MachineRow]):
    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[MachineRow]:
        found = list(await super().present(run, brand, keys))
        configs = await Configurations.of(run).read(run, brand, None if keys is None else [key[0] for key in keys])
        return [
            msgspec.structs.replace(
                row,
                config_version=configs.get(row.machine, _NONE).version,
                **{name: getattr(configs.get(row.machine, _NONE), name) for name in _CONFIGURED},
            )
            for row in found
        ]

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[MachineRow]]) -> None:
        taken = await owners(run.work, [draft.after.machine for draft in drafts])
        for draft in drafts:
            if taken.get(draft.after.machine, brand) != brand:
                draft.object("machine", "is the id of somebody else's machine: ids are unique over all brands")
            for problem in config_problems(_configured(draft.after, _NONE)):
                column, _, reason = problem.partition(": ")
                draft.object(column.partition(".")[0], reason)
            if draft.after.claimed is not None and not draft.after.credential_version:
                draft.object("credential_version", "is missing: a machine is claimed with its first secret")
        shops = [draft.after.shop for draft in drafts if draft.after.shop]
        kinds = await values_of(run.work, units, brand, "unit", shops, "kind")
        for draft in drafts:
            if draft.after.shop and kinds[draft.after.shop] != "shop":
                draft.object("shop", f"is no shop but a {kinds[draft.after.shop]}")

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[MachineRow]]) -> None:
        new = [draft.after.machine for draft in drafts if draft.before is None]
        await run.work.insert(machine_directory, [{"machine": machine, "tenant": brand} for machine in new])
        await lock_machines(run.work, brand, [draft.after.machine for draft in drafts if draft.before is not None])
        await super().write(run, brand, drafts)
        configs = Configurations.of(run)
        for draft in drafts:
            row = draft.after
            if draft.before is None and row.config_version:
                configs.count_from(brand, row.machine, row.config_version)
            configs.revise(brand, row.machine, partial(_configured, row))


def _configured(row: MachineRow, config: MachineConfig) -> MachineConfig:
    return msgspec.structs.replace(config, **{name: getattr(row, name) for name in _CONFIGURED})


MACHINES = _Machines(
    "machines",
    "设备",
    MachineRow,
    machines,
    ("machine",),
    references={"shop": "units"},
    since="registered_ms",
    until="retired_ms",
    beside={"config_version", *_CONFIGURED},
)


class AisleRow(Row, frozen=True, kw_only=True):
    """One aisle of a machine: its motor, and what lies in it for how much."""

    machine: Annotated[Id, Meta(title="设备编号", description="The machine that it belongs to.")]
    aisle: Annotated[Id, Meta(title="货道编号", description="The aisle's id, kept as it is, e.g. AI59.")]
    id: Annotated[
        AisleId | None,
        Meta(title="货道统一编号", description="Its id over all machines; else its own where that is one; for good."),
    ] = None
    board: Annotated[int, Meta(ge=1, le=4, title="驱动板", description="The driver board's address, 1 to 4.")] = 1
    motor: Annotated[int, Meta(ge=0, le=99, title="电机", description="The motor on that board, 0 to 99.")]
    goods: Annotated[Id, Meta(title="商品编号", description="The goods in it.")]
    price_fen: Annotated[
        Fen | None, Meta(title="价格（分）", description="Its price in fen; without one, that of the goods.")
    ] = None
    capacity: Annotated[int, Meta(ge=0, le=1_000, title="容量", description="How many items it holds.")]
    name: Annotated[
        Text, Meta(title="货道名称", description="What the panel shows; a new aisle without it gets the goods' name.")
    ] = ""
    for_sale: Annotated[bool, Meta(title="在售", description="Whether it sells.")] = True


_AISLE = tuple(field.name for field in msgspec.structs.fields(AisleConfig))
# What one machine's configuration may hold.
_AISLES_MAX = 400


class _Aisles(Noun[AisleRow]):
    def order_of(self, row: AisleRow) -> tuple[str, ...]:
        """A machine's aisles stand as its configuration has them."""
        return (row.machine,)

    async def present(self, run: Run, brand: str, keys: Sequence[Key] | None) -> Iterable[AisleRow]:
        wanted = None if keys is None else {machine for machine, _ in keys}
        configs = await Configurations.of(run).read(run, brand, wanted)
        asked = None if keys is None else set(keys)
        known = await find_aisles(run.work, brand, configs.keys())
        ids = {(aisle.machine, aisle.aisle): aisle.id for aisle in known}
        return [
            _row(brand, machine, aisle, ids.get((machine, aisle.aisle)))
            for machine, config in configs.items()
            for aisle in config.aisles
            if asked is None or (machine, aisle.aisle) in asked
        ]

    async def settle(self, run: Run, brand: str, drafts: Sequence[Draft[AisleRow]]) -> None:
        await _fill_from_goods(run, brand, drafts)
        await _check_ids(run, brand, drafts)
        of: defaultdict[str, list[Draft[AisleRow]]] = defaultdict(list)
        for draft in drafts:
            of[draft.after.machine].append(draft)
        configs = await Configurations.of(run).read(run, brand, of.keys())
        for machine, theirs in of.items():
            _check_motors(configs[machine], theirs)

    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[AisleRow]]) -> None:
        of: defaultdict[str, dict[str, AisleConfig]] = defaultdict(dict)
        for draft in drafts:
            of[draft.after.machine][draft.after.aisle] = _aisle(draft.after)
            if draft.after.id is not None:
                Configurations.of(run).aisle_ids[brand][draft.after.machine, draft.after.aisle] = draft.after.id
        configs = Configurations.of(run)
        for machine, changed in of.items():
            configs.revise(brand, machine, partial(_laid_out, changed))

    async def close(self, run: Run) -> None:
        await Configurations.of(run).write(run)


def _row(brand: str, machine: str, aisle: AisleConfig, which: str | None) -> AisleRow:
    return AisleRow(brand=brand, machine=machine, id=which, **{name: getattr(aisle, name) for name in _AISLE})


def _aisle(row: AisleRow) -> AisleConfig:
    return AisleConfig(**{name: getattr(row, name) for name in _AISLE})


def _laid_out(changed: dict[str, AisleConfig], config: MachineConfig) -> MachineConfig:
    """The aisles that are there keep their order; new ones follow in theirs."""
    there = {aisle.aisle: aisle for aisle in config.aisles}
    return msgspec.structs.replace(config, aisles=tuple((there | changed).values()))


async def _fill_from_goods(run: Run, brand: str, drafts: Sequence[Draft[AisleRow]]) -> None:
    named = sorted({(draft.after.goods,) for draft in drafts})
    goods = {row.goods: row for row in await GOODS.present(run, brand, named)}
    archived = 0
    for draft in drafts:
        lies = goods[draft.after.goods]
        archived += lies.archived and (draft.before is None or draft.before.goods != lies.goods)
        filled: dict[str, Any] = {}
        if draft.after.price_fen is None:
            filled["price_fen"] = lies.price_fen
        if draft.before is None and "name" not in draft.given:
            filled["name"] = lies.name
        if filled:
            draft.becomes(**filled)
    if archived:
        run.notes.append(f"{archived} aisles of {brand} are filled with archived goods, as the book says")


async def _check_ids(run: Run, brand: str, drafts: Sequence[Draft[AisleRow]]) -> None:
    """An id names one aisle of the brand, and an aisle keeps its id."""
    for draft in drafts:
        if draft.before is not None and draft.after.id is None:
            draft.becomes(id=draft.before.id)
    new = [draft for draft in drafts if draft.before is None and draft.after.id is not None]
    taken = await taken_aisle_ids(run.work, brand, {str(draft.after.id) for draft in new})
    for draft in drafts:
        if draft.before is not None:
            if draft.after.id != draft.before.id:
                draft.object("id", f"stays as it is: {draft.before.id}")
        elif draft.after.id in taken:
            draft.object("id", "is the id of another aisle")
        elif draft.after.id is not None:
            taken.add(draft.after.id)


def _check_motors(config: MachineConfig, drafts: Sequence[Draft[AisleRow]]) -> None:
    """No motor twice; not more aisles than a configuration holds."""
    theirs = {draft.after.aisle for draft in drafts}
    turns = {(aisle.board, aisle.motor): aisle.aisle for aisle in config.aisles if aisle.aisle not in theirs}
    count = len(turns)
    for draft in drafts:
        motor = (draft.after.board, draft.after.motor)
        if motor in turns:
            draft.object("motor", f"motor {motor[1]} of board {motor[0]} belongs to aisle {turns[motor]}")
        elif count >= _AISLES_MAX:
            draft.object("aisle", f"a machine has at most {_AISLES_MAX} aisles")
        else:
            turns[motor] = draft.after.aisle
            count += 1


AISLES = _Aisles("aisles", "货道", AisleRow, ("machine", "aisle"), references={"machine": "machines", "goods": "goods"})
