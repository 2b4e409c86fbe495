"""The figures of `bench_peers` as tables, for a terminal and for docs/performance.md, and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from tests.bench.peers import CADDY_WITH_LOG

# By server, by metric: one value of each round.
Figures = dict[str, dict[str, list[float]]]
Table = tuple[str, list[str], list[list[str]]]  # title, columns, rows
DIRECT = "direct"  # the backend, without a server between
# What is divided by the same of Caddy with its access log: metric, heading, digits.
_CPU = (
    ("cpu_plain_us", "plain request", 0),
    ("cpu_other_heads_us", "another head each", 0),
    ("cpu_event_50_us", "event, 50 streams", 1),
    ("cpu_event_400_us", "event, 400 streams", 1),
)
_FIRST_BYTES = (
    ("first_byte_1_p50_ms", "p50, 1 connection"),
    ("first_byte_1_p99_ms", "p99, 1 connection"),
    ("first_byte_50_p50_ms", "p50, 50 connections"),
    ("first_byte_50_p99_ms", "p99, 50 connections"),
)
_MEMORY = (
    ("memory_idle_mib", "idle"),
    ("memory_streams_mib", "1,000 streams"),
    ("largest_process_idle_mib", "largest process, idle"),
    ("largest_process_streams_mib", "largest process, 1,000 streams"),
)
_SUMMARY = (
    ("cpu_plain_us", "CPU, plain request"),
    ("cpu_event_400_us", "CPU, event of 400 streams"),
    ("requests_per_second", "requests a second, one core"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has found, and on what."""

    figures: Figures
    titles: dict[str, str]
    versions: dict[str, str]
    machine: str
    rounds: int
    seconds: float

    def as_json(self) -> str:
        """Return every figure of every round."""
        medians = {
            name: {metric: median(values) for metric, values in metrics.items()}
            for name, metrics in self.figures.items()
        }
        report = {
            "machine": self.machine,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": self.versions,
            "rounds": self.rounds,
            "seconds": self.seconds,
            "medians": medians,
            "figures": self.figures,
        }
        return json.dumps(report, indent=2) + "\n"

    def as_markdown(self) -> str:
        """Return the tables for the documents."""
        parts = [self._describe(), ""]
        for title, columns, rows in self._build_tables():
            lines = [columns, ["---", *["--:"] * (len(columns) - 1)], *rows]
            parts += [f"**{title}**", "", *("| " + " | ".join(line) + " |" for line in lines), ""]
        return "\n".join(parts)

    def as_text(self) -> str:
        """Return the tables for a terminal."""
        parts = [self._describe(), ""]
        for title, columns, rows in self._build_tables():
            widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
            parts.append(title)
            for first, *others in (columns, *rows):
                cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
                parts.append("  ".join(["", first.ljust(widths[0]), *cells]))
            parts.append("")
        return "\n".join(parts)

    def _describe(self) -> str:
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        versions = ", ".join(
            f"{name} {version}"
            for name, version in {
                title.partition(",")[0]: version for title, version in self.versions.items()
            }.items()
        )
        return f"{self.machine}. {versions}. {day}, {self.rounds} rounds of {self.seconds:g} s, medians."

    def _build_tables(self) -> list[Table]:
        tables = [
            self._build_cpu_table(),
            self._build_first_byte_table(),
            self._build_rate_table(),
            self._build_memory_table(),
            self._build_summary(),
        ]
        return [table for table in tables if any(any(row[1:]) for row in table[2])]

    def _build_cpu_table(self) -> Table:
        columns = ["CPU, us"]
        for _, heading, _ in _CPU:
            columns += [heading, "of Caddy"]
        rows = []
        for name, title in self.titles.items():
            row = [title]
            for metric, _, digits in _CPU:
                row += [self._show(name, metric, digits), self._show_ratio(name, metric)]
            rows.append(row)
        return "CPU of all processes of a server, in microseconds", columns, rows

    def _build_first_byte_table(self) -> Table:
        rows = [["backend, directly", *(self._show(DIRECT, metric, 2) for metric, _ in _FIRST_BYTES)]]
        for name, title in self.titles.items():
            rows.append([title, *(self._show_added(name, metric) for metric, _ in _FIRST_BYTES)])
        columns = ["first byte, ms", *(heading for _, heading in _FIRST_BYTES)]
        return "Time to the first byte, and what each server adds to it, in milliseconds", columns, rows

    def _build_rate_table(self) -> Table:
        rows = []
        for name, title in self.titles.items():
            share = self._find(name, "busiest_process_share")
            rows.append(
                [
                    title,
                    self._show(name, "requests_per_second", 0),
                    self._show_ratio(name, "requests_per_second"),
                    f"{median(share):.0%}" if share else "",
                ]
            )
        columns = ["one worker, one core", "requests a second", "of Caddy", "busiest process, of a core"]
        return "Requests a second of one worker", columns, [row for row in rows if any(row[1:])]

    def _build_memory_table(self) -> Table:
        rows = [
            [title, *(self._show(name, metric, 0) for metric, _ in _MEMORY)]
            for name, title in self.titles.items()
        ]
        return "Memory, in MiB", ["MiB", *(heading for _, heading in _MEMORY)], rows

    def _build_summary(self) -> Table:
        rows = [
            [title, *(self._show_ratio(name, metric) for metric, _ in _SUMMARY)]
            for name, title in self.titles.items()
        ]
        return "Of Caddy with its access log", ["", *(heading for _, heading in _SUMMARY)], rows

    def _find(self, name: str, metric: str) -> list[float]:
        return self.figures.get(name, {}).get(metric, [])

    def _show(self, name: str, metric: str, digits: int) -> str:
        values = self._find(name, metric)
        return f"{median(values):.{digits}f}" if values else ""

    def _show_ratio(self, name: str, metric: str) -> str:
        """Return the median of the rounds' ratios to Caddy; other heads are held against plain requests."""
        base = "cpu_plain_us" if metric == "cpu_other_heads_us" else metric
        pairs = zip(self._find(name, metric), self._find(CADDY_WITH_LOG, base), strict=False)
        ratios = [value / caddy for value, caddy in pairs]
        return f"{median(ratios):.2f}" if ratios else ""

    def _show_added(self, name: str, metric: str) -> str:
        pairs = zip(self._find(name, metric), self._find(DIRECT, metric), strict=False)
        added = [value - direct for value, direct in pairs]
        return f"{median(added):+.2f}" if added else ""
