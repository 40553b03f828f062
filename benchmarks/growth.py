"""Time and memory of values, gradients and Hessians against size, with the exponents that fit them.

    python benchmarks/growth.py --json benchmarks/results/growth.json
    python benchmarks/growth.py --only chain --only tree --limit 5

Sizes of a derivative go up until planning and one run together take longer than ``--limit`` seconds. Measured peaks are
those of a first call as Python's tracemalloc sees them, results and Python's own objects included.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from families import FAMILIES, Family
from growth_report import growth_table
from machine import machine

import einad as ea
from einad import pipeline
from einad.backends import memory

DERIVATIVES: dict[str, Callable[..., Any]] = {
    "value": lambda f, _: f,
    "gradient": ea.value_and_grad,
    "hessian": ea.hessian,
}


def least(run: Callable[[], Any], seconds: float, most: int) -> float:
    """The least time of several runs within some seconds; one run where a single one takes as long."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or (time.perf_counter() < end and len(found) < most):
        start = time.perf_counter()
        run()
        found.append(time.perf_counter() - start)
    return min(found)


def peak_of(run: Callable[[], Any]) -> int:
    """The most bytes that one call holds at once, its result included, with no memory kept from earlier calls."""
    memory.clear()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        value = run()
        return tracemalloc.get_traced_memory()[1] - before if value is not None else 0
    finally:
        tracemalloc.stop()


def measure(family: Family, derivative: str, size: int, seconds: float) -> dict[str, float]:
    """Planning time, run time, peak, and what the plan says of itself."""
    f, args = family.make(size)
    taken = DERIVATIVES[derivative](f, 0 if family.by == 1 else tuple(range(family.by or len(args))))

    def planned() -> Any:
        pipeline.clear_cache()
        return ea.plan(taken, *args)

    planning = least(planned, seconds, 3)
    plan = planned() if planning < seconds else ea.plan(taken, *args)
    plan(*args)
    run = least(lambda: plan(*args), seconds, 1000)
    peak = peak_of(lambda: plan(*args))
    return {"planning": planning, "run": run, "peak": peak, "plan_peak": plan.peak_bytes, "flops": plan.flops}


def grow(family: Family, derivative: str, limit: float, seconds: float, largest: int | None) -> dict[str, Any]:
    """Measurements over the sizes, until one takes longer than the limit or fails."""
    growth = family.derivatives[derivative]
    found: dict[str, Any] = {
        "sizes": [],
        "expected": {"run": growth.run, "plan_peak": growth.memory, "planning": growth.planning},
    }
    for size in growth.sizes:
        if largest is not None and size > largest:
            break
        start = time.perf_counter()
        try:
            row = measure(family, derivative, size, seconds)
        except (MemoryError, RecursionError, ValueError) as error:
            found["stopped"] = f"{size}: {type(error).__name__}"
            break
        found["sizes"].append(size)
        for key, value in row.items():
            found.setdefault(key, []).append(value)
        print(f"  {derivative} {size}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
        if row["planning"] + row["run"] > limit:
            found["stopped"] = f"after {size}: over {limit:g} s"
            break
    return found


def on_cpus(cpus: str) -> None:
    """Start again, pinned to some CPUs and with as many threads of the linear algebra library."""
    if os.environ.get("EINAD_GROWTH_CPUS") != cpus:
        threads = str(len(cpus.split(",")))
        env = {**os.environ, "EINAD_GROWTH_CPUS": cpus, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        os.execvpe("taskset", ["taskset", "-c", cpus, sys.executable, *sys.argv], env)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=FAMILIES, help="only this family (repeatable)")
    parser.add_argument("--cpus", default="0", help="the CPUs to run on")
    parser.add_argument(
        "--limit", type=float, default=120, help="seconds a size may take before larger ones are left out"
    )
    parser.add_argument("--seconds", type=float, default=1, help="seconds to repeat a measurement for")
    parser.add_argument("--largest", type=int, help="no sizes above this one")
    parser.add_argument("--json", type=Path, help="keep the results here")
    options = parser.parse_args()
    on_cpus(options.cpus)
    growth: dict[str, Any] = {}
    for name in options.only or FAMILIES:
        print(name, file=sys.stderr, flush=True)
        family = FAMILIES[name]
        found = {d: grow(family, d, options.limit, options.seconds, options.largest) for d in family.derivatives}
        growth[name] = {"axis": family.axis, "closed_form": family.closed_form, "derivatives": found}
    print(growth_table(growth))
    if options.json:
        kept = {"machine": machine(), "cpus": options.cpus, "growth": growth}
        options.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
