"""Whether the optional extra that compiles (``pip install einad[fused]``) is there, and switched on."""

from __future__ import annotations

import os
from functools import cache
from importlib.util import find_spec


def available() -> bool:
    """Whether Numba is installed, and not switched off by ``EINAD_FUSED=0``."""
    return os.environ.get("EINAD_FUSED", "1") != "0" and _is_installed()


@cache
def _is_installed() -> bool:
    return find_spec("numba") is not None
