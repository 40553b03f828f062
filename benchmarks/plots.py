"""Plots as small SVG files, where matplotlib is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def figure(width: float, height: float) -> tuple[Any, Any] | None:
    """A figure that needs no screen, and its axes; nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        return None
    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "einad", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")


def save(found: tuple[Any, Any], path: Path) -> None:
    """Write a figure so that the same data give the same file."""
    from matplotlib import pyplot as plt

    found[0].savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
    plt.close(found[0])


def plot_ratios(bars: dict[str, tuple[float | None, float | None]], path: Path, title: str) -> bool:
    """Horizontal bars on a logarithmic axis: times of the best peer and of hand-written NumPy over einad's."""
    bars = {name: pair for name, pair in bars.items() if any(pair)}
    found = figure(7, 1.2 + 0.3 * len(bars))
    if found is None or not bars:
        return False
    axes, names = found[1], list(bars)
    for shift, label, colour, column in (
        (-0.2, "best peer", "tab:blue", 0),
        (0.2, "hand-written NumPy", "tab:orange", 1),
    ):
        there = [(n + shift, bars[name][column]) for n, name in enumerate(names) if bars[name][column]]
        if there:
            places, ratios = zip(*there, strict=True)
            axes.barh(places, [r - 1 for r in ratios], 0.38, left=1, label=label, color=colour)
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlabel("time over einad's (right of 1: einad is faster)")
    axes.set_title(title)
    axes.legend(loc="lower right")
    save(found, path)
    return True


def plot_growth(title: str, unit: str, lines: dict[str, tuple[list[float], list[float]]], path: Path) -> bool:
    """Measured values against sizes on two logarithmic axes, a line each."""
    found = figure(4.5, 3.2)
    if found is None:
        return False
    axes = found[1]
    for (label, (sizes, values)), marker in zip(lines.items(), "osv^D*xP+<>" * 9, strict=False):
        axes.plot(sizes, values, marker=marker, markersize=3.5, linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(title)
    axes.set_ylabel(unit)
    axes.minorticks_off()
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(fontsize=7)
    save(found, path)
    return True
