"""Amounts of memory, as numbers of bytes or in words."""

from __future__ import annotations

import re

UNITS = {"": 1, "b": 1} | {
    prefix + end: base**power
    for power, prefix in enumerate("kmgt", 1)
    for end, base in (("", 1000), ("b", 1000), ("ib", 1024))
}


def as_bytes(amount: float | str) -> int:
    """A memory limit in bytes: a number, or text such as ``"200 MB"``, ``"1.5 GiB"``, ``"4k"``.

    >>> as_bytes("200 MB"), as_bytes("1.5GiB"), as_bytes(4096)
    (200000000, 1610612736, 4096)
    """
    if isinstance(amount, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:[eE]\d+)?)\s*([a-zA-Z]*)\s*", amount)
        if found and found[2].lower() in UNITS:
            return int(float(found[1]) * UNITS[found[2].lower()])
    elif type(amount) is not bool and 0 <= amount < float("inf"):
        return int(amount)
    raise ValueError(f"memory_limit is a number of bytes, or text such as '200 MB' or '1.5 GiB'; found {amount!r}")


def in_words(nbytes: int) -> str:
    """A number of bytes as a limit that holds it: ``"12.4 MB (12,345,678 bytes)"``.

    >>> in_words(12_345_678), in_words(80)
    ('12.4 MB (12,345,678 bytes)', '80 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= size:
            return f"{-(-nbytes * 10 // size) / 10} {unit} ({nbytes:,} bytes)"
    return f"{nbytes} bytes"
