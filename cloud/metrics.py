"""What the cloud counts, for Prometheus. Labels are bounded: names from our own tables, never an id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry(auto_describe=True)

REQUESTS = Counter(
    "aisleflow_http_requests_total",
    "Requests answered, by operation and class of status.",
    ["operation", "status"],
    registry=REGISTRY,
)
STREAMS = Gauge("aisleflow_event_streams", "Event streams that are open now.", registry=REGISTRY)
LEDGER_DRIFT = Gauge(
    "aisleflow_ledger_drift_fen", "How far all ledgers together are off; anything but 0 is an alarm.", registry=REGISTRY
)
