"""Random NumPy-style programs: value, VJP, JVP, Jacobian and Hessian against JAX, which runs the same source."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import einad as ea
from einad.testing.programs import Program
from einad.testing.strategies import functions

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def run_with_jax(program: Program) -> Any:
    """The program's function over ``jax.numpy``."""
    namespace: dict[str, Any] = {"np": jnp}
    exec(compile(program.source, "<program>", "exec"), namespace)
    return namespace["f"]


def everything(lib: Any, f: Any, args: tuple[Any, ...], cotangent: Any, tangents: tuple[Any, ...]) -> list[Any]:
    """Value, VJP, JVP, Jacobian and the Hessian of the cotangent's pairing, by the first argument."""
    value, pullback = lib.vjp(f, *args)
    _, tangent = lib.jvp(f, args, tangents)
    names = jnp if lib is jax else np

    def scalar(*xs: Any) -> Any:
        return names.sum(f(*xs) * cotangent)

    return [value, *pullback(cotangent), tangent, lib.jacobian(f)(*args), lib.hessian(scalar)(*args)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(functions())
def test_random_programs_against_jax(program: Program) -> None:
    args = tuple(np.asarray(arg, float) for arg in program.args)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True), np.errstate(all="ignore"):
        value = np.asarray(program(*args))
        cotangent = rng.standard_normal(value.shape)
        tangents = tuple(rng.standard_normal(arg.shape) for arg in args)
        expected = everything(jax, run_with_jax(program), args, jnp.asarray(cotangent), tangents)
        found = everything(ea, program, args, cotangent, tangents)
    for ours, theirs in zip(found, expected, strict=True):
        assert np.shape(ours) == np.shape(theirs)
        scale = np.abs(np.asarray(theirs)).max(initial=1.0)
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9 * scale)
