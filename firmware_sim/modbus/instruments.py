"""What a device measures, by the names that its registers use; `points` is the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from firmware_sim.modbus.spec import Sees
from firmware_sim.physics import Air
from firmware_sim.water import Water

COUNTER_MODULUS = 2**32
# What a transmitter with an open cable shows (int16 at its end; a float at twice its range) [est].
OPEN_GAUGE = 32_767
OPEN_PPM = 2_000.0
# Units of the level transmitter, as parts of a kPa.
PER_KPA: Mapping[int, float] = MappingProxyType(
    {
        9: 0.001,  # MPa
        10: 1.0,  # kPa
        11: 1000.0,  # Pa
        12: 0.01,  # bar
        13: 10.0,  # mbar
        14: 0.010_197_2,  # kg/cm2
        15: 0.145_038,  # psi
        16: 0.101_972,  # mH2O
        17: 101.972,  # mmH2O
    }
)
TOTALISER_UL = {0: 10**9, 1: 10**6}  # m3, litre
PIPE_MM = 15.0
# Kinematic viscosity of water at 20 degrees, m2/s.
VISCOSITY = 1.0e-6
SENSOR_SPAN_PPM, CURRENT_LOOP_MA = 1000.0, (4.0, 16.0)


class Instrument:
    """One device's inside: looks at the water or the air, and keeps its own counter."""

    def __init__(self, sees: Sees, water: Water, air: Air, settings: Mapping[str, int], opening_count: int) -> None:
        """`settings` are the device's own, written by hosts; `opening_count` is where its counter starts."""
        self.cable_open: Callable[[], bool] = lambda: False
        self._sees, self._water, self._air, self._settings = sees, water, air, settings
        self._opening_pulses = opening_count
        self._cleared_at_ul = 0
        self._cleared_at_pulses = 0
        self.points: Mapping[str, Callable[[], float]] = {
            "zero": lambda: 0.0,
            "pulses": self._pulses,
            "pulse_hz": lambda: self._flow() * water.plumbing.pulses_per_litre_milli / 1_000_000,
            "flow_m3h": lambda: self._flow() * 0.0036,
            "velocity": self._velocity,
            "reynolds": lambda: self._velocity() * PIPE_MM / 1000 / VISCOSITY,
            "sound_speed": lambda: (
                1402.4 + 5.0 * water.plumbing.water_celsius - 0.058 * water.plumbing.water_celsius**2
            ),
            "total_whole": lambda: self._total_ul() // self._unit_ul(),
            "total_fraction": lambda: self._total_ul() % self._unit_ul() / self._unit_ul(),
            "error_bits": lambda: 1 if self.cable_open() else 0,
            "signal_quality": lambda: 0 if self.cable_open() else 87,
            "signal_strength": lambda: 0 if self.cable_open() else 1320,
            "travel_time_ratio": lambda: 100.1,
            "working_s": lambda: water.timeline.now_ms // 1000,
            "pipe_mm": lambda: PIPE_MM,
            "spacing_mm": lambda: 24.5,
            "water_c": lambda: water.plumbing.water_celsius,
            "tds_ppm": self._tds_ppm,
            "current_ma": lambda: CURRENT_LOOP_MA[0] + CURRENT_LOOP_MA[1] * self._tds_ppm() / SENSOR_SPAN_PPM,
            "gauge": self._gauge,
            "celsius": self._celsius,
            "humidity": lambda: air.humidity + self._settings.get("humidity_correction", 0) / 10,
        }

    def look(self) -> None:
        """Before the points are read: bring the water to this moment."""
        self._water.settle()

    def go_on_from(self, count: int) -> None:
        """The counter stands at `count` now: pulses, or whole units of a totaliser."""
        self.look()
        self._opening_pulses = count
        self._cleared_at_ul = self._water.indicated_ul()
        self._cleared_at_pulses = self._water.pulses

    def _flow(self) -> float:
        """ml/s as the meter shows it."""
        return 0.0 if self.cable_open() else self._water.flow_ml_per_s

    def _velocity(self) -> float:
        return self._flow() / 1e6 / (3.14159 / 4 * (PIPE_MM / 1000) ** 2)

    def _pulses(self) -> int:
        return (self._opening_pulses + self._water.pulses - self._cleared_at_pulses) % COUNTER_MODULUS

    def _total_ul(self) -> int:
        """An opening count is one of whole totaliser units here."""
        return self._opening_pulses * self._unit_ul() + self._water.indicated_ul() - self._cleared_at_ul

    def _unit_ul(self) -> int:
        return TOTALISER_UL[self._settings.get("totaliser_unit", 1)]

    def _tds_ppm(self) -> float:
        if self.cable_open():
            return OPEN_PPM
        return self._water.feed_tds_ppm if self._sees == "tds_in" else self._water.tds_ppm

    def _gauge(self) -> float:
        if self.cable_open():
            return OPEN_GAUGE
        kpa = self._water.pressure_kpa if self._sees == "pressure" else self._water.level_mm / PER_KPA[17]
        steps = kpa * PER_KPA[self._settings["unit"]] * 10.0 ** self._settings["decimals"]
        return float(steps + self._settings["zero_offset"])

    def _celsius(self) -> float:
        correction = self._settings.get("temperature_correction", 0) / 10
        if self._sees == "water_temperature":
            return self._water.plumbing.water_celsius + correction
        return self._air.celsius(self._water.timeline.now_ms) + correction
