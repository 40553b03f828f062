"""Importing einad is quick and pulls in nothing it does not need."""

import os
import subprocess
import sys

import pytest

LIMIT = 1.5
REPEATS = 15


def run(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )
    return done.stdout


def seconds(imports, cache):
    """The processor time of an import whose byte code lies in ``cache``, as for whoever imports a package again."""
    code = f"from time import process_time; t = process_time(); import {imports}; print(process_time() - t)"
    return float(run(code, PYTHONPYCACHEPREFIX=str(cache), PYTHONDONTWRITEBYTECODE=""))


def test_import_takes_at_most_half_as_long_again_as_what_it_needs(tmp_path):
    """Best of several fresh processes each, taken in turns, after one that compiles."""
    seconds("einad", tmp_path)
    pairs = [(seconds("numpy, opt_einsum", tmp_path), seconds("einad", tmp_path)) for _ in range(REPEATS)]
    needed, taken = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
    assert taken <= LIMIT * needed, f"import einad takes {taken:.3f} s, its dependencies alone {needed:.3f} s"


@pytest.mark.parametrize(
    "package", ["scipy", "jax", "torch", "matplotlib", "tqdm", "hypothesis", "pytest", "argparse", "sympy"]
)
def test_import_leaves_out(package):
    code = """
import sys, numpy, opt_einsum
before = set(sys.modules)
import einad
print(*sorted(set(sys.modules) - before))
"""
    assert package not in {name.split(".")[0] for name in run(code).split()}
