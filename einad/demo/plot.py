"""The plot of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from einad.demo.training import Epoch

SUFFIXES = (".png", ".pdf", ".svg")


def draw(epochs: Sequence[Epoch], path: Path) -> str:
    """Plot loss and accuracy by epoch to a file; returns a sentence that says what became of it."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415  optional, and slow to import
    except ImportError:
        return 'no plot: matplotlib is not installed; get it with pip install "einad[plot]"'
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    numbers = [epoch.number for epoch in epochs]
    left.plot(numbers, [epoch.loss for epoch in epochs], color="tab:blue")
    right.plot(numbers, [100 * epoch.accuracy for epoch in epochs], color="tab:orange")
    left.set_xlabel("epoch")
    left.set_ylabel("mean cross-entropy of the training images", color="tab:blue")
    right.set_ylabel("accuracy on held-out images (%)", color="tab:orange")
    figure.savefig(path, dpi=150)
    return f"plot of loss and accuracy: {path}"
