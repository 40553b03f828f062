"""The command `einad demo`: its options and what it prints."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from einad.demo import digits, plot
from einad.demo.derivatives import derivations, gradient_check
from einad.demo.digits import Images
from einad.demo.network import PIXELS
from einad.demo.progress import describe, watched
from einad.demo.training import train

DESCRIPTION = """\
Train a small neural network on 1,797 images of handwritten digits.

Before training, the derivative of each layer is derived and printed in index notation, and one gradient is compared
with finite differences. The accuracy is measured on a fifth of the images, which are not trained on."""


def add_command(commands: Any) -> None:
    """Add ``demo`` to the subcommands of a parser."""
    parser = commands.add_parser(
        "demo",
        help="train a classifier of handwritten digits",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--epochs", type=_count(1, 10_000), default=30, help="passes over the images (default: 30)")
    parser.add_argument("--batch", type=_count(1, 1438), default=32, help="images per step (default: 32)")
    parser.add_argument(
        "--hidden", type=_count(1, 10_000), default=64, help="width of both hidden layers (default: 64)"
    )
    parser.add_argument(
        "--seed", type=_count(0, 2**32 - 1), default=0, help="seed of the split, the weights and the order (default: 0)"
    )
    parser.add_argument(
        "--plot", type=_picture, default=Path("einad-demo.png"), metavar="PATH",
        help="where to plot loss and accuracy: .png, .pdf or .svg (default: einad-demo.png)",
    )  # fmt: skip
    parser.add_argument("--quiet", action="store_true", help="print the final accuracy only")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo; returns the exit status."""

    def say(text: str = "") -> None:
        if not options.quiet:
            print(text, flush=True)

    training, held_out = digits.split(digits.load(), options.seed)
    say(f"{len(training.X)} images to train on, {len(held_out.X)} held out; a network of widths "
        f"{PIXELS}-{options.hidden}-{options.hidden}-{digits.CLASSES}\n")  # fmt: skip
    say("Layers, and the cotangents derived from them:\n")
    for line in derivations():
        say(f"  {line}")
    say("\n" + gradient_check(Images(training.X[:32], training.T[:32]), options.hidden, options.seed) + "\n")
    start = perf_counter()
    epochs = list(watched(_train(training, held_out, options), options.epochs, options.quiet))
    say(f"{options.epochs} epochs in {perf_counter() - start:.1f} s: {describe(epochs[-1])}")
    say(plot.draw(epochs, options.plot))
    print(f"held-out accuracy: {epochs[-1].accuracy:.2%}")
    return 0


def _train(training: Images, held_out: Images, options: argparse.Namespace) -> Any:
    return train(training, held_out, options.epochs, options.batch, options.hidden, options.seed)


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}, found {number}")
        return number

    return parse


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in plot.SUFFIXES:
        raise argparse.ArgumentTypeError(f"expected a file name ending in {', '.join(plot.SUFFIXES)}, found {text!r}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory {str(path.parent)!r}; make it first")
    return path
