"""Measure einad beside JAX, PyTorch and HIPS autograd: one process per engine, one CPU, alternating blocks.

    python benchmarks/run.py --kind jacobian --kind hessian
    python benchmarks/run.py --set literature --json benchmarks/results/literature.json
    python benchmarks/run.py --only h_mlp --blocks 5

Every engine runs blocks in turn, and the median over all blocks is kept; digests of the values are compared. The table
shows milliseconds and the ratio of the best peer to einad; ``--json`` keeps everything with versions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import literature
import numpy as np
import workloads
from registry import KINDS, Table

HERE = Path(__file__).parent
SETS: dict[str, Table] = {"own": workloads.W, "literature": literature.W}
WORKLOADS: Table = {name: w for table in SETS.values() for name, w in table.items()}
PACKAGES = ("einad", "jax", "torch", "autograd", "numpy")


class Worker:
    """A child process that runs one workload on one engine."""

    def __init__(self, engine: str, name: str, cpus: str) -> None:
        threads = str(len(cpus.split(",")))
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        env["JAX_PLATFORMS"] = "cpu"
        env["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), env.get("PYTHONPATH", "")])
        command = ["taskset", "-c", cpus, sys.executable, str(HERE / "worker.py"), engine, name]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=HERE
        )

    def read(self) -> dict[str, Any]:
        """The next answer; the child's error text where it failed."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            last = self.process.stderr.read().strip().splitlines() or ["no output"]
            return {"error": last[-1]}
        return dict(json.loads(line))

    def block(self, seconds: float) -> dict[str, Any]:
        """Run for some seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def measure(name: str, engines: list[str], cpus: str, blocks: int, seconds: float) -> dict[str, Any]:
    """Times of every engine on one workload, in alternating blocks."""
    workers, rows = {}, {}
    for engine in engines:
        worker = Worker(engine, name, cpus)
        rows[engine] = worker.read()
        if "error" in rows[engine]:
            worker.close()
        else:
            workers[engine] = worker
            rows[engine]["times"] = []
    for _ in range(blocks):
        for engine, worker in workers.items():
            answer = worker.block(seconds)
            rows[engine]["times"] += answer["times"]
            rows[engine]["peak"] = answer["peak"]
    for worker in workers.values():
        worker.close()
    reference = rows["einad"].get("digest")
    for row in rows.values():
        if "times" in row:
            row["median"] = statistics.median(row.pop("times"))
            row["agrees"] = reference is not None and agree(reference, row.pop("digest"))
    return rows


def agree(a: list[list[float]], b: list[list[float]]) -> bool:
    """Whether two digests are of the same values, up to single precision."""
    a_, b_ = np.array(a), np.array(b)
    return a_.shape == b_.shape and bool(np.allclose(a_, b_, rtol=2e-4, atol=2e-4 * np.abs(a_[:, 2:]).max(initial=1)))


def ratio(rows: dict[str, Any]) -> float | None:
    """The best peer's time over einad's."""
    peers = [row["median"] for engine, row in rows.items() if engine != "einad" and row.get("agrees")]
    return min(peers) / rows["einad"]["median"] if peers and "median" in rows["einad"] else None


def cell(row: dict[str, Any]) -> str:
    """One engine's median in milliseconds, marked where its values differ."""
    if "median" not in row:
        return "refused"
    return f"{row['median'] * 1e3:.3f}" + ("" if row["agrees"] else " (!)")


def table(results: dict[str, Any], engines: list[str]) -> str:
    """The results as a Markdown table."""
    head = ["workload", *[f"{e} ms" for e in engines], "best peer / einad", "first call einad s", "first call jax s"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, rows in results.items():
        r = ratio(rows)
        firsts = [f"{rows[e]['first']:.3f}" if e in rows and "first" in rows[e] else "" for e in ("einad", "jax")]
        cells = [name, *[cell(rows[e]) for e in engines], "" if r is None else f"{r:.2f}", *firsts]
        lines.append("| " + " | ".join(cells) + " |")
    ratios = [r for rows in results.values() if (r := ratio(rows)) is not None]
    if ratios:
        lines.append(f"\nGeometric mean of best peer / einad: {statistics.geometric_mean(ratios):.2f}")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Versions and processor, kept with the results."""
    found = {"python": platform.python_version(), "processor": _processor()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except ModuleNotFoundError:
            found[package] = "source tree" if package == "einad" else "absent"
    return found


def _processor() -> str:
    """The processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only workloads of this kind (repeatable)")
    parser.add_argument("--set", action="append", choices=SETS, help="only workloads of this set (repeatable)")
    parser.add_argument("--only", action="append", help="only this workload (repeatable)")
    parser.add_argument("--engines", default="einad,jax,torch", help="comma-separated")
    parser.add_argument("--cpus", default="0", help="the CPUs all engines are pinned to, for example 0 or 0,1")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a block")
    parser.add_argument("--json", type=Path, help="keep the results here")
    options = parser.parse_args()
    chosen = {name: w for group in options.set or SETS for name, w in SETS[group].items()}
    names = [n for n, w in chosen.items() if w.kind in (options.kind or KINDS) and n in (options.only or chosen)]
    engines = options.engines.split(",")
    results = {}
    for name in names:
        results[name] = measure(name, engines, options.cpus, options.blocks, options.seconds)
        print(name, {e: row.get("error", cell(row)) for e, row in results[name].items()}, file=sys.stderr, flush=True)
    print(table(results, engines))
    if options.json:
        kept = {"machine": machine(), "cpus": options.cpus, "results": results}
        options.json.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
