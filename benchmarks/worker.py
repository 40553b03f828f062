"""One engine in one process: reads a line per block of runs, answers with times and a digest of the values."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import Any

import numpy as np
from engines import ENGINES
from run import WORKLOADS


def leaves(value: Any) -> list[np.ndarray]:
    """The arrays of a nested result."""
    if isinstance(value, tuple | list):
        return [leaf for part in value for leaf in leaves(part)]
    return [np.asarray(value)]


def digest(value: Any) -> list[list[float]]:
    """Sums and weighted sums of every array: enough to see that two engines computed the same."""
    found = []
    for leaf in leaves(value):
        flat = leaf.astype(float).ravel()
        weights = np.cos(np.arange(flat.size))
        found.append([float(flat.sum()), float(weights @ flat), float(np.abs(flat).max(initial=0))])
    return found


def main() -> None:
    """Answer requests on standard input until it ends."""
    engine, name = sys.argv[1:3]
    w = WORKLOADS[name]
    f, args = w.make()
    start = time.perf_counter()
    run = ENGINES[engine](w, f, args)
    value = run()
    first = time.perf_counter() - start
    print(json.dumps({"first": first, "digest": digest(value)}), flush=True)
    for line in sys.stdin:
        seconds = float(line)
        times = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 3:
            t = time.perf_counter()
            value = run()
            times.append(time.perf_counter() - t)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"times": times, "peak": peak}), flush=True)


if __name__ == "__main__":
    main()
