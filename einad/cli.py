"""The command `einad`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from einad.demo import command as demo


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0, 2 for wrong usage, 130 when interrupted."""
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="einad", description="Automatic differentiation of tensor contractions.", allow_abbrev=False
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="command")
    demo.add_command(commands)
    return parser
