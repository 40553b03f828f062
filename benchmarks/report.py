"""Write the kept measurements as tables and bar plots: ``python benchmarks/report.py``.

Reads every JSON file of ``benchmarks/results`` and writes ``README.md`` beside them, with one plot for every file of
side-by-side measurements (where matplotlib is installed).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from growth_report import growth_section
from plots import plot_ratios
from summary import table, to_engine, to_peer

RESULTS = Path(__file__).parent / "results"

HEAD = """# Measurements

Milliseconds a call, compilation not counted: the median of the medians of several blocks of runs, one process per
engine, all pinned to the same CPUs, blocks alternating; "least times" takes each engine's fastest call instead, which a
busy machine disturbs less. Ratios above 1 mean that einad is faster. `numpy` is an expert's program written by hand for
the one problem ([own](../handwritten.py), [more](../handwritten_more.py)); it is no peer in "best peer". First calls
count tracing, deriving, planning and one run, not the import of the package. Sums, weighted sums and largest entries of
the results are compared; *(!)* marks a difference. Absolute times depend on the processor and on its load: read the
ratios. [benchmarks/README.md](../README.md) says how each file is made.
"""


def section(path: Path) -> str:
    """One file of side-by-side results: its machine, a table and a plot."""
    kept: dict[str, Any] = json.loads(path.read_text())
    versions = ", ".join(f"{name} {found}" for name, found in kept["machine"].items())
    settings = ", ".join(f"{key} {kept[key]}" for key in ("cpus", "dtype", "blocks", "seconds") if key in kept)
    parts = [f"## {path.stem}", f"{settings}. {versions}.", table(kept["results"])]
    bars = {name: (to_peer(rows), to_engine(rows, "numpy")) for name, rows in kept["results"].items()}
    picture = path.with_suffix(".svg")
    if plot_ratios(bars, picture, path.stem):
        parts.append(f"![best peer and hand-written NumPy over einad]({picture.name})")
    return "\n\n".join(parts) + "\n"


def report(folder: Path = RESULTS) -> str:
    """The text for all files of a folder."""
    parts = [HEAD]
    for path in sorted(folder.glob("*.json")):
        kept = json.loads(path.read_text())
        if "results" in kept:
            parts.append(section(path))
        elif "growth" in kept:
            parts.append(growth_section(kept, path))
    return "\n".join(parts)


if __name__ == "__main__":
    (RESULTS / "README.md").write_text(report())
