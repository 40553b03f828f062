"""Contraction paths kept on disk, for other processes: one text file in the directory ``EINAD_CACHE_DIR``.

A line holds a digest of the network, its path and a check sum. Lines are only ever appended, each with one write, so
that processes may share the file; lines that are damaged are passed over with a warning. A file that has grown over its
limit is begun anew. Any path gives right values: a wrong one could only cost time.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Hashable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path as File
from zlib import crc32

from einad.plan.exact import Path

FORMAT = 1  # to be raised when the search finds other paths, or the file looks different
MAX_BYTES = 1 << 24


@lru_cache(8)
def open_store(directory: str) -> Store:
    """The paths kept in a directory, read once per process."""
    return Store(File(directory) / f"einad-paths-{FORMAT}.txt")


class Store:
    """The paths of one file, as they were when it was opened, and those added since."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.paths: dict[str, Path] = {}
        self._read()

    def load(self, problem: Hashable, count: int) -> Path | None:
        """The path kept for a network of ``count`` operands, if there is one."""
        found = self.paths.get(_digest(problem))
        return found if found and _is_path(found, count) else None

    def save(self, problem: Hashable, path: Path) -> None:
        """Keep a path. A file that cannot be written is left alone, with a warning."""
        digest = _digest(problem)
        self.paths[digest] = path
        try:
            self._append(_line(digest, path).encode("ascii"))
        except OSError as error:
            self._warn(f"cannot be written ({error})")

    def _read(self) -> None:
        try:
            text = self.file.read_bytes()[:MAX_BYTES].decode("ascii", "replace")
        except FileNotFoundError:
            return
        except OSError as error:
            self._warn(f"cannot be read ({error})")
            return
        damaged = 0
        for line in filter(None, text.split("\n")):
            entry = _parse(line)
            if entry is None:
                damaged += 1
            else:
                self.paths[entry[0]] = entry[1]
        if damaged:
            self._warn(f"has {damaged} damaged lines, which are passed over; delete the file to be rid of them")

    def _append(self, line: bytes) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if self.file.exists() and self.file.stat().st_size + len(line) > MAX_BYTES:
            self.file.unlink(missing_ok=True)
        handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, b"\n" + line)  # a line that a crash has cut off ends here
        finally:
            os.close(handle)

    def _warn(self, problem: str) -> None:
        warnings.warn(f"the file of contraction paths {self.file} {problem}", RuntimeWarning, stacklevel=2)


def _digest(problem: Hashable) -> str:
    """Tuples and sets of whole numbers as 128 bits; sets in order, so that all processes agree."""
    return blake2b(repr(_ordered(problem)).encode(), digest_size=16).hexdigest()


def _ordered(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return [_ordered(entry) for entry in value] if isinstance(value, tuple) else value


def _line(digest: str, path: Path) -> str:
    body = f"{digest} {' '.join([f'{i},{j}' for i, j in path])}"
    return f"{crc32(body.encode()):08x} {body}\n"


def _parse(line: str) -> tuple[str, Path] | None:
    check, _, body = line.partition(" ")
    if check != f"{crc32(body.encode('ascii', 'replace')):08x}":
        return None
    digest, *pairs = body.split(" ")
    try:
        numbers = [tuple(map(int, pair.split(","))) for pair in pairs]
        return digest, tuple([(i, j) for i, j in numbers])
    except ValueError:
        return None


def _is_path(path: Path, count: int) -> bool:
    """Whether every operand and every result but the last is used once, after it is made."""
    used = [number for pair in path for number in pair]
    in_order = all(max(pair) < count + step for step, pair in enumerate(path))
    return in_order and sorted(used) == list(range(2 * count - 2))
