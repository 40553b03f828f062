"""What the measurements ran on: processor, memory, and versions of everything measured."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

PACKAGES = ("einad", "numpy", "jax", "torch", "autograd", "numba")


def machine() -> dict[str, str]:
    """Versions and processor, kept with the results."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    found |= {"processor": _processor(), "CPUs": str(os.cpu_count()), "memory": _memory()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "source tree" if package == "einad" else "absent"
    return {**found, "EINAD_FUSED": os.environ.get("EINAD_FUSED", "unset"), "BLAS": _blas()}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _processor() -> str:
    """The processor's name and widest vectors, where Linux tells them."""
    lines = _lines("/proc/cpuinfo")
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return name + next((f" ({found})" for found in ("avx512f", "avx2") if found in flags), "")


def _memory() -> str:
    """The memory of the machine, where Linux tells it."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 2**20:.0f} GiB"
    return "unknown"


def _blas() -> str:
    """The linear algebra library that NumPy was built with."""
    found = np.show_config(mode="dicts")
    blas = (found or {}).get("Build Dependencies", {}).get("blas", {})
    return f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
