"""The instruments of the ledger's own, with their names and what they tell."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.kernel.adapters.telemetry import METRICS

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_LINES = (1, 5, 20, 50, 100, 200, 500, 1_000, 5_000)


class HotInstruments:
    """The ``Watch`` of the writer of hot products."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._round_lines = Histogram(
            "oms_hot_round_lines",
            "Reservation lines decided together",
            buckets=_LINES,
            registry=registry,
        )
        self._round_seconds = Histogram(
            "oms_hot_round_seconds",
            "One round, from its first decision to the disk",
            buckets=_SECONDS,
            registry=registry,
        )
        self._waiting = Gauge(
            "oms_hot_waiting_lines", "Reservation lines that wait for a round", registry=registry
        )
        self._shed = Counter(
            "oms_hot_shed_calls", "Calls sent away because too much waited", registry=registry
        )
        self._races = Counter(
            "oms_hot_races_lost",
            "Rounds decided again because another process had written, or an id was not new",
            registry=registry,
        )

    def waiting(self, lines: int) -> None:
        """So many lines wait now."""
        self._waiting.set(lines)

    def shed(self) -> None:
        """A call was sent away."""
        self._shed.inc()

    def written(self, lines: int, tries: int, took_s: float) -> None:
        """A round is on disk, or has failed, after so many tries."""
        self._round_lines.observe(lines)
        self._round_seconds.observe(took_s)
        if tries > 1:
            self._races.inc(tries - 1)


HOT_INSTRUMENTS = HotInstruments(METRICS.registry)
