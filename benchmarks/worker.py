"""One engine in one process: reads a line per block of runs, answers with times and a digest of the values."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from engines import ENGINES, einad_costs, start
from sets import WORKLOADS


def leaves(value: Any) -> list[np.ndarray]:
    """The arrays of a nested result."""
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    return [np.asarray(value)]


def digest(value: Any) -> list[list[float]]:
    """For every array its sum and a weighted sum, both over the root of its size, and its largest entry."""
    found = []
    for leaf in leaves(value):
        flat = leaf.astype(float).ravel()
        weights, root = np.cos(np.arange(flat.size)), np.sqrt(max(flat.size, 1))
        found.append([float(flat.sum() / root), float(weights @ flat / root), float(np.abs(flat).max(initial=0))])
    return found


def peak_memory() -> int:
    """The most bytes this process has held so far; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def block(run: Any, seconds: float) -> list[float]:
    """Times of single calls. Each result is dropped when the next one takes its name, as in a user's loop."""
    times: list[float] = []
    clock = time.perf_counter
    value = run()
    end = clock() + seconds
    while clock() < end or not times:
        t = clock()
        value = run()
        times.append(clock() - t)
    del value
    return times


def main() -> None:
    """Answer requests on standard input until it ends."""
    engine, name, dtype = sys.argv[1:4]
    w = WORKLOADS[name]
    f, args = w.prepare(None if dtype == "own" else dtype)
    start(engine)
    before = peak_memory()
    begin = time.perf_counter()
    run = ENGINES[engine](w, f, args)
    value = run()
    first = time.perf_counter() - begin
    answer: dict[str, Any] = {"first": first, "memory_before": before, "digest": digest(value)}
    answer["single"] = any(leaf.dtype == np.float32 for leaf in leaves(value))
    if engine == "einad":
        answer |= einad_costs(w, f, args)
    del value
    print(json.dumps(answer), flush=True)
    for line in sys.stdin:
        times = block(run, float(line))
        found = {"median": statistics.median(times), "minimum": min(times), "calls": len(times)}
        print(json.dumps({**found, "peak": peak_memory()}), flush=True)


if __name__ == "__main__":
    main()
