"""Progress of a long loop: tqdm's bar where it is installed, else plain lines; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from einad.demo.training import Epoch


def watched(epochs: Iterable[Epoch], total: int, quiet: bool) -> Iterable[Epoch]:
    """Pass epochs through, showing them on standard error if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        return epochs
    try:
        from tqdm import tqdm  # noqa: PLC0415  optional
    except ImportError:
        return _lines(epochs, total)
    return _bar(epochs, tqdm(total=total, unit="epoch"))


def describe(epoch: Epoch) -> str:
    """An epoch's figures in a few words."""
    return f"loss {epoch.loss:.4f}, held-out accuracy {epoch.accuracy:.1%}"


def _lines(epochs: Iterable[Epoch], total: int) -> Iterator[Epoch]:
    for epoch in epochs:
        print(f"epoch {epoch.number}/{total}: {describe(epoch)}", file=sys.stderr)
        yield epoch


def _bar(epochs: Iterable[Epoch], shown: Any) -> Iterator[Epoch]:
    with shown as bar:
        for epoch in epochs:
            bar.set_postfix_str(describe(epoch))
            bar.update()
            yield epoch
