"""What purifiers tell beside pours: filters, quality, leaks, calibrations and visits; written once per unit of work."""

from __future__ import annotations

from cloud.events import Event
from cloud.machines.credentials import Credentials
from cloud.machines.model import Machine, Origin
from cloud.tickets.model import PRIORITY_MAX, PRIORITY_NORMAL, Condition
from cloud.water import store
from cloud.water.model import Calibration, FilterChange, FilterState, Flow, Visit, WaterState
from cloud.water.pours import Pours
from shared.messages import (
    FilterChanged,
    FilterConditionChanged,
    MeterCalibrated,
    VisitRecorded,
    WaterLeaked,
    WaterQualityChanged,
    unsealed,
)
from shared.seal import seal_visit, seals_match


class Purifiers:
    """The condition of the purifiers that one unit of work hears of, and what people did at machines."""

    def __init__(self, pours: Pours) -> None:
        self._pours = pours
        self._books = pours.books
        self._filters: dict[tuple[str, str, int], FilterState] = {}
        self._waters: dict[tuple[str, str], WaterState] = {}
        self._changes: list[FilterChange] = []
        self._calibrations: list[Calibration] = []
        self._visits: list[Visit] = []

    def filter_condition(self, origin: Origin, fact: FilterConditionChanged) -> None:
        """A cartridge grew old, or is new again: a job for somebody, which is urgent past its end, or done."""
        self._filters[origin.tenant, origin.machine, fact.position] = FilterState(
            origin.tenant,
            origin.machine,
            fact.position,
            fact.name,
            fact.condition,
            fact.percent_left,
            origin.happened_ms,
        )
        detail = f"filter {fact.position} ({fact.name}): {fact.percent_left} % of its life left"
        job = Condition(origin.tenant, origin.machine, "filter_worn", f"filter-{fact.position}")
        if fact.condition == "good":
            self._books.desk.clear(job)
        else:
            urgent = fact.condition == "past_end"
            self._books.desk.open(job, detail, priority=PRIORITY_MAX if urgent else PRIORITY_NORMAL)

    def quality(self, origin: Origin, fact: WaterQualityChanged) -> None:
        """The water became unfit, or fit again."""
        self._waters[origin.tenant, origin.machine] = WaterState(
            origin.tenant,
            origin.machine,
            fact.fit,
            fact.tds_in_ppm,
            fact.tds_out_ppm,
            fact.reason,
            origin.happened_ms,
        )
        job = Condition(origin.tenant, origin.machine, "water_unfit", "machine")
        if fact.fit:
            self._books.desk.clear(job)
        else:
            self._books.desk.open(job, f"TDS in {fact.tds_in_ppm}, out {fact.tds_out_ppm} ppm: {fact.reason}")

    def leaked(self, origin: Origin, fact: WaterLeaked) -> None:
        """Water flowed that nobody had asked for: a line of litres, and a repair."""
        self._pours.flow(
            Flow(
                tenant=origin.tenant,
                machine=origin.machine,
                source=origin.key,
                kind="leak",
                order=None,
                plan=None,
                sold_ml=0,
                given_ml=0,
                leaked_ml=fact.leaked_ml,
                doubtful_ml=0,
                at_ms=origin.happened_ms,
            )
        )
        job = Condition(origin.tenant, origin.machine, "water_leak", "machine")
        self._books.desk.open(job, f"{fact.leaked_ml} ml flowed while every valve was shut: repair it, then clear it")

    def filter_changed(self, origin: Origin, fact: FilterChanged) -> None:
        """A new cartridge."""
        self._changes.append(
            FilterChange(
                origin.tenant,
                origin.machine,
                origin.key,
                fact.position,
                fact.name,
                fact.powered_hours,
                fact.worked_hours,
                fact.litres,
                fact.person,
                origin.happened_ms,
            )
        )

    def calibrated(self, origin: Origin, fact: MeterCalibrated) -> None:
        """A new factor of a meter."""
        self._calibrations.append(
            Calibration(
                origin.tenant,
                origin.machine,
                origin.key,
                fact.meter,
                fact.pulses_per_litre_milli,
                fact.spread_ppm,
                fact.runs,
                fact.person,
                origin.happened_ms,
            )
        )

    def visited(self, origin: Origin, fact: VisitRecorded, machine: Machine, credentials: Credentials) -> None:
        """A person was there. A record whose seal is wrong is kept, marked, and looked into."""
        genuine = _is_sealed(fact, machine, credentials)
        self._visits.append(
            Visit(
                origin.tenant,
                origin.machine,
                fact.visit,
                fact.person,
                fact.began_wall_ms,
                fact.duration_ms,
                fact.actions,
                genuine,
                origin.happened_ms,
            )
        )
        if not genuine:
            job = Condition(origin.tenant, origin.machine, "visit_unsealed", fact.visit)
            self._books.desk.open(job, f"the record of {fact.person}'s visit {fact.visit} does not bear its seal")
        data = {"machine": origin.machine, "person": fact.person, "duration_ms": fact.duration_ms, "genuine": genuine}
        self._books.announce(Event(origin.tenant, "machine.visit", fact.visit, data))

    async def write(self) -> None:
        """Write what was heard."""
        work = self._books.work
        await store.put_filters(work, [self._filters[key] for key in sorted(self._filters)])
        await store.put_waters(work, [self._waters[key] for key in sorted(self._waters)])
        await store.add_changes(work, self._changes)
        await store.add_calibrations(work, self._calibrations)
        await store.add_visits(work, self._visits)


def _is_sealed(fact: VisitRecorded, machine: Machine, credentials: Credentials) -> bool:
    """By the key of any of the machine's claims: a record may be older than the newest one."""
    versions = range(machine.credential_version, 0, -1)
    keys = (credentials.keys(machine.machine, version).mac_key for version in versions)
    return any(seals_match(seal_visit(key, machine.machine, unsealed(fact)), fact.mac) for key in keys)
