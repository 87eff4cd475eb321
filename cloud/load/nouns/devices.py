"""Machines as devices: how they were made, where they were put up, under which service they stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from cloud.load.columns import Id, Moment, Row, Text
from cloud.load.noun import Draft, Run, TableNoun
from cloud.load.nouns.machines import Configurations
from cloud.machines.profile import ServiceChange, change_service
from cloud.machines.store import lock_machines, machine_profiles
from cloud.products.shelf import refit_machines
from shared.water import ServiceMode


class DeviceRow(Row, frozen=True, kw_only=True):
    """What is known of one machine as a device."""

    machine: Annotated[Id, Meta(title="设备编号", description="The machine.")]
    mode: Annotated[
        ServiceMode | Literal[""],
        Meta(title="服务模式", description="What it asks money for; empty: not decided. A purifier learns it."),
    ] = ""
    product: Annotated[
        Text,
        Meta(
            title="产品编号",
            description="Which product it is one of; it becomes what that specifies.",
        ),
    ] = ""
    maker: Annotated[Text, Meta(title="厂牌", description="Whose make it is.")] = ""
    model: Annotated[Text, Meta(title="型号", description="The maker's name for it.")] = ""
    hw_version: Annotated[Text, Meta(title="硬件版本", description="Of its hardware.")] = ""
    sw_version: Annotated[Text, Meta(title="软件版本", description="Of its software.")] = ""
    fw_version: Annotated[Text, Meta(title="固件版本", description="Of its firmware.")] = ""
    manufactured: Annotated[Moment | None, Meta(title="生产时间", description="When it was made.")] = None
    assembled: Annotated[Moment | None, Meta(title="组装时间", description="When it was put together.")] = None
    inspector: Annotated[Text, Meta(title="质检员", description="Who inspected it.")] = ""
    inspected: Annotated[Moment | None, Meta(title="质检时间", description="When it was inspected.")] = None
    installer: Annotated[Text, Meta(title="安装员", description="Who put it up.")] = ""
    installed: Annotated[Moment | None, Meta(title="安装时间", description="When it was put up.")] = None
    installation: Annotated[
        dict[str, Any], Meta(title="安装信息", description="What else was noted there; JSON in a table's cell.")
    ] = msgspec.field(default_factory=dict)
    remark: Annotated[Text, Meta(title="备注", description="What people note.")] = ""
    coordinates: Annotated[Text, Meta(title="坐标", description="Where it stands on the map.")] = ""
    platform: Annotated[Text, Meta(title="平台", description="The platform that it was made for.")] = ""
    project: Annotated[Text, Meta(title="项目", description="The project that it was made for.")] = ""
    net_entry: Annotated[Text, Meta(title="入网地址", description="Where it enters the net.")] = ""
    net_type: Annotated[Text, Meta(title="网络类型", description="By what it enters the net.")] = ""
    hardware_id: Annotated[Text, Meta(title="硬件编号", description="The number in its hardware.")] = ""
    iccid: Annotated[Text, Meta(title="SIM卡号", description="The number of its SIM card.")] = ""
    stopped: Annotated[bool, Meta(title="停止服务", description="Whether it gives no service for now.")] = False
    service_ends: Annotated[
        Moment | None, Meta(title="服务到期", description="Until when it gives service. A purifier learns it.")
    ] = None


_SERVICE = ("mode", "service_ends", "stopped")


class _Devices(TableNoun[DeviceRow]):
    async def write(self, run: Run, brand: str, drafts: Sequence[Draft[DeviceRow]]) -> None:
        """A machine that is there is told of another service; a new one reads it in its configuration."""
        moved = [d for d in drafts if d.before is not None and _service(d.before) != _service(d.after)]
        there = await lock_machines(run.work, brand, [draft.after.machine for draft in moved])
        for row in (draft.after for draft in moved):
            if there[row.machine].retired_ms is None:
                change = ServiceChange(mode=row.mode or None, ends_ms=row.service_ends or 0, stopped=row.stopped)
                await change_service(run.work, run.credentials, brand, row.machine, change, run.actor)
        await super().write(run, brand, drafts)
        await refit_machines(run.work, brand, await _becoming(run, brand, drafts))


async def _becoming(run: Run, brand: str, drafts: Sequence[Draft[DeviceRow]]) -> set[str]:
    """The products of which there is a machine from now on: it becomes what its product says, after the commit.

    A new one that came with a configuration of its own keeps that: a world that was dumped is the same when it is
    loaded.
    """
    new = [draft.after.machine for draft in drafts if draft.before is None and draft.after.product]
    configs = await Configurations.of(run).read(run, brand, new)
    bare = {machine for machine, config in configs.items() if config.purifier is None}
    moved = {d.after.machine for d in drafts if d.before is not None and d.before.product != d.after.product}
    return {draft.after.product for draft in drafts if draft.after.machine in bare | moved} - {""}


def _service(row: DeviceRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in _SERVICE)


DEVICE_PROFILES = _Devices(
    "device_profiles",
    "设备档案",
    DeviceRow,
    machine_profiles,
    ("machine",),
    references={"machine": "machines", "product": "products"},
    lies={"maker": "brand"},
)
