"""Measure einad beside JAX, PyTorch, HIPS autograd and hand-written NumPy: a process each, alternating blocks.

    python benchmarks/run.py --kind jacobian --kind hessian
    python benchmarks/run.py --set own --kind gradient --kind hvp --cpus 0,1 --json benchmarks/results/own-2cpu.json
    python benchmarks/run.py --set more --dtype float32
    python benchmarks/run.py --only h_mlp --blocks 5

Every engine runs blocks in turn; the median of the blocks' medians is kept, and the least time. Digests of the values
are compared. Packages are imported before the clock starts. ``--json`` keeps everything with versions.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from machine import machine
from registry import KINDS
from sets import SETS, WORKLOADS
from summary import agree, cell, join_blocks, table

HERE = Path(__file__).parent


class Worker:
    """A child process that runs one workload on one engine."""

    def __init__(self, engine: str, name: str, cpus: str, dtype: str, patience: float) -> None:
        threads = str(len(cpus.split(",")))
        env = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        env["JAX_PLATFORMS"] = "cpu"
        env["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), env.get("PYTHONPATH", "")])
        command = ["taskset", "-c", cpus, sys.executable, str(HERE / "worker.py"), engine, name, dtype]
        self.patience = patience
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=HERE
        )

    def read(self) -> dict[str, Any]:
        """The next answer; the child's error text where it failed, or gave none in time."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if not select.select([self.process.stdout], [], [], self.patience)[0]:
            return {"error": f"no answer within {self.patience:g} s"}
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


def measure(name: str, engines: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Times of every engine on one workload, in alternating blocks, each round in the reverse order of the last."""
    workers, rows = {}, {}
    for engine in engines:
        worker = Worker(engine, name, options.cpus, options.dtype, options.patience)
        rows[engine] = worker.read()
        if "error" in rows[engine]:
            worker.close()
        else:
            workers[engine] = worker
    blocks: dict[str, list[dict[str, Any]]] = {engine: [] for engine in workers}
    order = list(workers)
    for _ in range(options.blocks):
        for engine in order:
            blocks[engine].append(workers[engine].block(options.seconds))
        order.reverse()
    for engine, worker in workers.items():
        worker.close()
        rows[engine] |= next((each for each in blocks[engine] if "error" in each), {})
        if "error" not in rows[engine]:
            join_blocks(rows[engine], blocks[engine])
    compare(rows)
    return rows


def compare(rows: dict[str, Any]) -> None:
    """Mark every engine whose values are einad's, or the first engine's that gave any."""
    digests = {engine: row.pop("digest") for engine, row in rows.items() if "digest" in row}
    single = any(row.get("single") for row in rows.values())
    for engine, row in rows.items():
        row["agrees"] = engine in digests and agree(next(iter(digests.values())), digests[engine], single)


def progress(names: list[str]) -> Iterable[str]:
    """The names, with a progress bar where tqdm is installed."""
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        return names
    return tqdm(names, unit="workload", file=sys.stderr, disable=None)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only workloads of this kind (repeatable)")
    parser.add_argument("--set", action="append", choices=SETS, help="only workloads of this set (repeatable)")
    parser.add_argument("--only", action="append", choices=WORKLOADS, metavar="NAME", help="only this one (repeatable)")
    parser.add_argument("--engines", default="einad,numpy,jax,torch", help="comma-separated; einad always measured")
    parser.add_argument("--fast-math", action="store_true", help="add einad with fast_math, reported apart")
    parser.add_argument("--dtype", default="own", choices=["own", "float32", "float64"], help="own: each workload's")
    parser.add_argument("--cpus", default="0", help="the CPUs all engines are pinned to, for example 0 or 0,1")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a block")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for one answer of an engine")
    parser.add_argument("--json", type=Path, help="keep the results here")
    return parser.parse_args()


def chosen_engines(options: argparse.Namespace) -> list[str]:
    """The engines to measure, einad first."""
    named = ["einad", *(["einad-fast"] if options.fast_math else []), *options.engines.split(",")]
    return list(dict.fromkeys(named))


def main() -> None:
    """Measure what the command line asks for."""
    options = parse()
    chosen = {name: w for group in options.set or SETS for name, w in SETS[group].items()}
    names = [n for n, w in chosen.items() if w.kind in (options.kind or KINDS) and n in (options.only or chosen)]
    engines = chosen_engines(options)
    results: dict[str, Any] = {}
    settings = {key: getattr(options, key) for key in ("cpus", "dtype", "blocks", "seconds")}
    kept = {"machine": machine(), **settings, "results": results}
    for name in progress(names):
        results[name] = measure(name, engines, options)
        found = {e: row.get("error", cell(results[name], e)) for e, row in results[name].items()}
        print(name, found, file=sys.stderr, flush=True)
        if options.json:
            options.json.write_text(json.dumps(kept, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
