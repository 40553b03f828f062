"""Write the kept measurements as Markdown tables: ``python benchmarks/report.py > benchmarks/results/README.md``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from run import WORKLOADS, table

RESULTS = Path(__file__).parent / "results"

HEAD = """# Measurements

Milliseconds a call, compilation not counted: the median of several blocks of runs, one process per engine, all pinned
to one CPU, blocks alternating. Sums, weighted sums and largest entries of the results are compared, to single
precision; *(!)* would mark a difference. Absolute times depend on the processor and its load: read the ratios. Made by
`python benchmarks/run.py --json ..` and `python benchmarks/report.py`.
"""


def section(path: Path) -> str:
    """One file of results: its machine, and a table."""
    kept: dict[str, Any] = json.loads(path.read_text())
    versions = ", ".join(f"{name} {found}" for name, found in kept["machine"].items())
    results = {name: rows for name, rows in kept["results"].items() if name in WORKLOADS}
    engines = list(next(iter(results.values())))
    return f"## {path.stem}\n\n{versions}\n\n{table(results, engines)}\n"


if __name__ == "__main__":
    print("\n".join([HEAD, *[section(path) for path in sorted(RESULTS.glob("*.json"))]]))
