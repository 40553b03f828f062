"""What the measurements say: medians over blocks, agreement of values, ratios, and the table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

import numpy as np

PEERS = ("jax", "torch", "autograd")
OURS = ("einad", "einad-fast")
Rows = dict[str, Any]


def join_blocks(row: Rows, blocks: list[Rows]) -> None:
    """Keep the median of the blocks' medians, the least time of all, and the blocks themselves."""
    row["blocks"] = [each["median"] for each in blocks]
    row["median"] = statistics.median(row["blocks"])
    row["minimum"] = min(each["minimum"] for each in blocks)
    row["calls"] = sum(each["calls"] for each in blocks)
    row["peak"] = blocks[-1]["peak"]


def agree(a: list[list[float]], b: list[list[float]], single: bool) -> bool:
    """Whether two digests are of the same values, up to the precision of the results."""
    a_, b_ = np.array(a), np.array(b)
    if a_.shape != b_.shape:
        return False
    largest = np.maximum(a_[:, 2:], 1e-2 * a_[:, 2:].max(initial=0))
    return bool(np.all(np.abs(a_ - b_) <= (2e-4 if single else 1e-8) * largest))


def time_of(rows: Rows, engine: str, which: str) -> float | None:
    """An engine's time, where it gave the right values."""
    row = rows.get(engine, {})
    return row.get(which) if row.get("agrees") else None


def to_peer(rows: Rows, which: str = "median", ours: str = "einad") -> float | None:
    """The best peer's time over ours."""
    peers = [t for engine in PEERS if (t := time_of(rows, engine, which))]
    own = time_of(rows, ours, which)
    return min(peers) / own if peers and own else None


def to_engine(rows: Rows, engine: str, which: str = "median") -> float | None:
    """One engine's time over einad's."""
    other, own = time_of(rows, engine, which), time_of(rows, "einad", which)
    return other / own if other and own else None


def geometric_mean(values: Iterable[float | None]) -> float | None:
    """Of those that are there."""
    found = [v for v in values if v]
    return statistics.geometric_mean(found) if found else None


def shown(value: float | None, digits: int = 2) -> str:
    """A number, or nothing where there is none."""
    return "" if value is None else f"{value:.{digits}f}"


def cell(rows: Rows, engine: str) -> str:
    """One engine's median in milliseconds, marked where its values differ."""
    row = rows.get(engine, {})
    if "median" not in row:
        return "" if engine == "numpy" else "refused"
    return f"{row['median'] * 1e3:#.4g}" + ("" if row["agrees"] else " (!)")


def columns(engines: list[str]) -> dict[str, Any]:
    """The table's columns, each with how it is found."""
    found: dict[str, Any] = {f"{e} ms": lambda rows, e=e: cell(rows, e) for e in engines}
    found["best peer / einad"] = lambda rows: shown(to_peer(rows))
    found["the same, least times"] = lambda rows: shown(to_peer(rows, "minimum"))
    if "einad-fast" in engines:
        found["best peer / einad-fast"] = lambda rows: shown(to_peer(rows, "median", "einad-fast"))
    if "numpy" in engines:
        found["numpy / einad"] = lambda rows: shown(to_engine(rows, "numpy"))
    found["first call einad s"] = lambda rows: shown(time_of(rows, "einad", "first"), 3)
    if "jax" in engines:
        found["first call jax s"] = lambda rows: shown(time_of(rows, "jax", "first"), 3)
    return found


def means(results: dict[str, Rows]) -> dict[str, float | None]:
    """Geometric means over the workloads, and the worst of each ratio."""
    all_rows = list(results.values())
    peers = [to_peer(rows) for rows in all_rows]
    hands = [to_engine(rows, "numpy") for rows in all_rows]
    return {
        "best peer / einad": geometric_mean(peers),
        "best peer / einad, least times": geometric_mean(to_peer(rows, "minimum") for rows in all_rows),
        "best peer / einad, worst": min((p for p in peers if p), default=None),
        "best peer / einad-fast": geometric_mean(to_peer(rows, "median", "einad-fast") for rows in all_rows),
        "numpy / einad": geometric_mean(hands),
        "numpy / einad, worst": min((h for h in hands if h), default=None),
        "first call jax / einad": geometric_mean(to_engine(rows, "jax", "first") for rows in all_rows),
    }


def table(results: dict[str, Rows]) -> str:
    """The results as a Markdown table, with the geometric means below it."""
    engines = list(dict.fromkeys(engine for rows in results.values() for engine in rows))
    shape = columns(engines)
    lines = ["| " + " | ".join(["workload", *shape]) + " |", "|" + "---|" * (len(shape) + 1)]
    for name, rows in results.items():
        lines.append("| " + " | ".join([name, *[find(rows) for find in shape.values()]]) + " |")
    found = [f"{name} {value:.2f}" for name, value in means(results).items() if value is not None]
    return "\n".join([*lines, "", "Geometric means, and the worst: " + "; ".join(found)])
