"""Shapes of the chapter on devices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from cloud.facades.fields import FROM_TEXT, ONE_OR_MANY
from cloud.facades.iot.wire import Asked, Listed, Moment, Money, Single, Told, Window, iso, yuan
from cloud.limits import NAME_CHARS_MAX
from cloud.machines.model import MachineProfile
from cloud.water.devices import CONDITIONS, DeviceSeen, Figures

# The numbers of the documentation. "": what it is to be is not decided.
MODES: dict[int, str] = {0: "", 1: "sale", 2: "timed_rental", 3: "metered_rental", 4: "vending", 8: "test"}
_NUMBERS = {mode: number for number, mode in MODES.items()}
# Notes of an installation: names, numbers, an address.
INSTALLATION_CHARS_MAX = 4_000


def _mode(value: Any) -> Any:
    text = str(value).strip()
    if text == "":
        return ""
    if text.isdecimal() and int(text) in MODES:
        return MODES[int(text)]
    raise ValueError(f"{text[:20]!r} is not one of {', '.join(map(str, MODES))}")


Mode = Annotated[str, BeforeValidator(_mode)]
Line = Annotated[str, Field(max_length=NAME_CHARS_MAX)]
Id = Annotated[str, Field(max_length=48)]


class DevicesAsk(Window):
    columns: ClassVar[Mapping[str, str]] = {
        "device_id": "machine",
        "device_ids": "machine",
        "vendor_id": "tenant",
        "vid": "tenant",
        "user_id": "owner",
        "uid": "owner",
        "state": "condition",
        "type": "mode",
        "name": "name",
        "remark": "remark",
        "brand": "brand",
        "model": "model",
        "hw_version": "hw_version",
        "sw_version": "sw_version",
        "fw_version": "fw_version",
        "asm_tms": "assembled_ms",
        "manufacture_tms": "manufactured_ms",
        "atv_tms": "claimed_ms",
        "product_id": "product",
        "shop_id": "shop",
        "net_type": "net_type",
        "platform": "platform",
        "project": "project",
        "dev_idcd": "hardware_id",
        "sim_iccid": "iccid",
        "online_tms": "came_ms",
    }

    device_id: Id | None = None
    vendor_id: Id | None = None
    user_id: Id | None = None
    state: Annotated[int, Field(ge=0, lt=len(CONDITIONS))] | None = None
    type: Mode | None = None
    name: Line | None = None
    remark: Line | None = None
    brand: Line | None = None
    model: Line | None = None
    hw_version: Line | None = None
    sw_version: Line | None = None
    fw_version: Line | None = None
    asm_tms: Moment = None
    manufacture_tms: Moment = None
    product_id: Id | None = None
    shop_id: Id | None = None
    net_type: Line | None = None
    platform: Line | None = None
    project: Line | None = None
    dev_idcd: Line | None = None
    sim_iccid: Line | None = None


# --- told ---


class ManufactureTold(Told):
    product_id: str
    qc_id: str
    qc_tms: str


class InstallationTold(Told):
    model_config = ConfigDict(extra="allow", frozen=True)

    installer_id: str
    install_tms: str


class ServiceTold(Single):
    state: int = Field(description="0: in service; 1: stopped")
    expire: int = Field(description="seconds since 1970; 0: no end")
    expire_tms: str
    type: int

    @classmethod
    def of(cls, seen: DeviceSeen) -> ServiceTold:
        """The service that was decided for a device."""
        ends_ms = seen.profile.service_ends_ms
        return cls(
            state=int(seen.profile.stopped),
            expire=(ends_ms or 0) // 1000,
            expire_tms=iso(ends_ms),
            type=_NUMBERS[seen.profile.mode],
        )


class BasicTold(Single):
    platform: str
    project: str
    net_entry: str
    net_type: str
    dev_idcd: str
    sim_iccid: str

    @classmethod
    def of(cls, seen: DeviceSeen) -> BasicTold:
        """What was noted of a device's electronics."""
        known = seen.profile
        return cls(
            platform=known.platform,
            project=known.project,
            net_entry=known.net_entry,
            net_type=known.net_type,
            dev_idcd=known.hardware_id,
            sim_iccid=known.iccid,
        )


class RunStateTold(Told):
    """How a device is, by its own word."""

    online: bool
    online_tms: str
    offline_tms: str
    lbs_coord: str
    seen_tms: str
    selling: bool
    reason: str
    faults: int

    @classmethod
    def of(cls, seen: DeviceSeen) -> RunStateTold:
        """While it is online, `offline_tms` is when it was away last; away, it is since when."""
        state = seen.state
        went_ms = state.went_ms
        if not seen.online and (state.came_ms or 0) >= (went_ms or 0):
            went_ms = state.last_seen_ms or None  # It went without a word.
        return cls(
            online=seen.online,
            online_tms=iso(state.came_ms),
            offline_tms=iso(went_ms),
            lbs_coord=seen.profile.coordinates,
            seen_tms=iso(state.last_seen_ms or None),
            selling=bool(state.selling),
            reason=state.selling_reason or "",
            faults=seen.faults,
        )


class FilterTold(Told):
    position: int
    name: str
    condition: str
    percent_left: int


class StatisticsTold(Told):
    """Figures from what the device told: volumes in ml, money in yuan."""

    pours: int
    sold_ml: int
    given_ml: int
    leaked_ml: int
    vends: int
    income: Money
    filters: list[FilterTold]
    tds_in: int
    tds_out: int

    @classmethod
    def of(cls, figures: Figures) -> StatisticsTold:
        """The figures on the wire."""
        water = figures.water
        return cls(
            pours=figures.pours,
            sold_ml=figures.sold_ml,
            given_ml=figures.given_ml,
            leaked_ml=figures.leaked_ml,
            vends=figures.vends,
            income=yuan(figures.earned_fen),
            filters=[FilterTold.model_validate(one) for one in figures.filters],
            tds_in=(water.tds_in_ppm or 0) if water is not None else 0,
            tds_out=(water.tds_out_ppm or 0) if water is not None else 0,
        )


class ConfigTold(Told):
    """Which version of its configuration was decided, and which the device says it acts on (0: none)."""

    desired: int
    reported: int
    refused: int
    reason: str


class DeviceTold(Single):
    state: int = Field(description="0 normal, 1 away, 2 faulty, 3 service stopped, 4 not activated yet")
    type: int
    device_id: str
    device_ids: str
    brand: str
    model: str
    fw_version: str
    hw_version: str
    sw_version: str
    asm_tms: str
    manufacture_tms: str
    vendor_id: str
    name: str
    remark: str
    atv_tms: str
    user_id: str
    user_share: list[str]
    manufacture: ManufactureTold
    installation: InstallationTold
    service: ServiceTold
    basic: BasicTold
    run_state: RunStateTold
    statistics: StatisticsTold
    config: ConfigTold

    @classmethod
    def of(cls, seen: DeviceSeen) -> DeviceTold:
        """A device on the wire."""
        machine, profile, state = seen.machine, seen.profile, seen.state
        return cls(
            state=CONDITIONS.index(seen.condition),
            type=_NUMBERS[profile.mode],
            device_id=machine.machine,
            device_ids=machine.machine,
            brand=profile.brand,
            model=profile.model,
            fw_version=seen.software,
            hw_version=profile.hw_version,
            sw_version=profile.sw_version,
            asm_tms=iso(profile.assembled_ms),
            manufacture_tms=iso(profile.manufactured_ms),
            vendor_id=machine.tenant,
            name=machine.name,
            remark=profile.remark,
            atv_tms=iso(machine.claimed_ms),
            user_id=seen.owner,
            user_share=list(seen.guests),
            manufacture=ManufactureTold(
                product_id=profile.product, qc_id=profile.inspector, qc_tms=iso(profile.inspected_ms)
            ),
            installation=InstallationTold(
                **{
                    **json.loads(profile.installation),
                    "installer_id": profile.installer,
                    "install_tms": iso(profile.installed_ms),
                }
            ),
            service=ServiceTold.of(seen),
            basic=BasicTold.of(seen),
            run_state=RunStateTold.of(seen),
            statistics=StatisticsTold.of(seen.figures),
            config=ConfigTold(
                desired=seen.config_version,
                reported=state.config_version or 0,
                refused=state.config_refused or 0,
                reason=state.config_reason or "",
            ),
        )


class DevicesTold(Listed):
    devices: list[DeviceTold]


class StatTold(Single):
    state: int
    run_state: RunStateTold
    statistics: StatisticsTold


# --- asked ---


class RegisterAsk(Asked):
    device_ids: Annotated[list[Annotated[str, Field(max_length=48)]], ONE_OR_MANY]
    vendor_id: Annotated[str, Field(min_length=1, max_length=48)]
    type: Mode = ""
    model: Line = ""
    brand: Line = ""
    hw_version: Line = ""
    sw_version: Line = ""
    fw_version: Line = ""
    manufacture_tms: Moment = None
    asm_tms: Moment = None
    product_id: Id = ""

    def profile(self) -> MachineProfile:
        """What all of them have in common."""
        return MachineProfile(
            tenant=self.vendor_id,
            machine="",
            mode=self.type,  # type: ignore[arg-type]
            model=self.model,
            brand=self.brand,
            hw_version=self.hw_version,
            sw_version=self.sw_version,
            fw_version=self.fw_version,
            manufactured_ms=self.manufacture_tms,
            assembled_ms=self.asm_tms,
            product=self.product_id,
        )


class ManufactureAsk(Asked):
    product_id: Id | None = None
    qc_id: Id | None = None
    qc_tms: Moment = None


def _short(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value, ensure_ascii=False)) > INSTALLATION_CHARS_MAX:
        raise ValueError(f"more than {INSTALLATION_CHARS_MAX} characters")
    return value


Notes = Annotated[dict[str, Any], FROM_TEXT, AfterValidator(_short)]


class BasicChange(Asked):
    platform: Line | None = None
    project: Line | None = None
    net_entry: Line | None = None
    net_type: Line | None = None
    dev_idcd: Line | None = None
    sim_iccid: Line | None = None
    lbs_coord: Line | None = None


class ServiceChangeAsk(Asked):
    state: Annotated[int, Field(ge=0, le=1)] | None = None
    expire: Moment = None
    type: Mode | None = None


class DeviceChangeAsk(Asked):
    """Keys that are not sent stay as they are."""

    device_id: Id = ""
    name: Line | None = None
    remark: Line | None = None
    type: Mode | None = None
    brand: Line | None = None
    model: Line | None = None
    hw_version: Line | None = None
    sw_version: Line | None = None
    fw_version: Line | None = None
    asm_tms: Moment = None
    manufacture_tms: Moment = None
    manufacture: Annotated[ManufactureAsk | None, FROM_TEXT] = None
    installation: Notes | None = None
    basic: Annotated[BasicChange | None, FROM_TEXT] = None
    service: Annotated[ServiceChangeAsk | None, FROM_TEXT] = None
    lbs_coord: Line | None = None


class BindAsk(Asked):
    user_id: Id = ""
    mobile: Annotated[str, Field(max_length=24)] = ""


class ShareQuery(Asked):
    user_id: Id = ""
