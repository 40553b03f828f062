"""Exponents of growth, as a table and as plots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from plots import plot_growth

QUANTITIES = {"run": "seconds a call", "plan_peak": "bytes at once", "planning": "seconds of planning"}


def exponent(sizes: list[float], values: list[float], last: int = 3) -> float | None:
    """The slope of the straight line through the last points on two logarithmic axes.

    The first points are left out, for there the fixed cost of a call hides the growth.

    >>> round(exponent([1, 2, 4, 8], [5, 20, 80, 320]), 6)
    2.0
    """
    if len(sizes) < 2:
        return None
    x, y = np.log(sizes[-last:]), np.log(np.maximum(values[-last:], 1e-12))
    return float(np.polyfit(x, y, 1)[0])


def growth_table(growth: dict[str, Any]) -> str:
    """A row for every derivative: each fitted exponent beside the closed form's."""
    head = ["family", "derivative", "sizes"]
    head += [f"{name}: fitted, closed form" for name in ("run", "peak", "planning")]
    head += ["FLOPs: fitted", "at the largest: planning s", "run s", "planned peak MB", "measured peak MB"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, family in growth.items():
        for derivative, row in family["derivatives"].items():
            if row["sizes"]:
                lines.append("| " + " | ".join(growth_cells(name, family["axis"], derivative, row)) + " |")
    return "\n".join(lines)


def growth_cells(name: str, axis: str, derivative: str, row: dict[str, Any]) -> list[str]:
    """One row of the table."""
    sizes = row["sizes"]
    cells = [name, derivative, f"{axis} {sizes[0]} to {sizes[-1]}"]
    cells += [f"{_slope(sizes, row[quantity])}, {row['expected'][quantity]:g}" for quantity in QUANTITIES]
    cells += [_slope(sizes, row["flops"]), f"{row['planning'][-1]:.3g}", f"{row['run'][-1]:.3g}"]
    return [*cells, f"{row['plan_peak'][-1] / 1e6:.3g}", f"{row['peak'][-1] / 1e6:.3g}"]


def _slope(sizes: list[float], values: list[float]) -> str:
    found = exponent(sizes, values)
    return "" if found is None else f"{found:.2f}"


def growth_section(kept: dict[str, Any], path: Path) -> str:
    """One file of growth: its machine, the table, what every family is, and plots."""
    versions = ", ".join(f"{name} {found}" for name, found in kept["machine"].items())
    parts = [f"## {path.stem}", f"cpus {kept['cpus']}. {versions}.", growth_table(kept["growth"])]
    for name, family in kept["growth"].items():
        pictures = growth_plots(name, family, path)
        links = " ".join(f"![{name}: {picture.stem}]({picture.name})" for picture in pictures)
        parts.append(f"**{name}**: {family['closed_form']}.\n\n{links}".rstrip())
    return "\n\n".join(parts) + "\n"


def growth_plots(name: str, family: dict[str, Any], path: Path) -> list[Path]:
    """One picture of every quantity of a family."""
    written = []
    for quantity, unit in QUANTITIES.items():
        rows = {derivative: row for derivative, row in family["derivatives"].items() if row["sizes"]}
        picture = path.with_name(f"{path.stem}-{name.replace(' ', '-')}-{quantity.removeprefix('plan_')}.svg")
        lines = {f"{d} ({_slope(r['sizes'], r[quantity])})": (r["sizes"], r[quantity]) for d, r in rows.items()}
        if plot_growth(f"{name}: {family['axis']}", unit, lines, picture):
            written.append(picture)
    return written
