"""Complex numbers: the convention of JAX and HIPS autograd, `∂f/∂x - i ∂f/∂y` for real f of z = x + iy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import einad as ea

rng = np.random.default_rng(11)
z = rng.standard_normal(3) + 1j * rng.standard_normal(3)
C = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
r = rng.standard_normal(3)


def wirtinger(f: Callable[[Any], Any], z: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """``∂f/∂x - i ∂f/∂y`` by central differences."""
    out = np.zeros(z.shape, complex)
    for i in np.ndindex(z.shape):
        step = np.zeros(z.shape, complex)
        step[i] = h
        out[i] = (f(z + step) - f(z - step)) / (2 * h) - 1j * (f(z + 1j * step) - f(z - 1j * step)) / (2 * h)
    return out


REAL_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "abs": lambda z: np.sum(np.abs(z)),
    "abs squared": lambda z: np.sum(np.abs(C @ z) ** 2),
    "real": lambda z: np.sum(np.real(z * z * C[0])),
    "imag": lambda z: np.sum(np.imag(np.exp(z))),
    "conj": lambda z: np.real(np.sum(np.conj(z) * (C @ z))),
    "angle": lambda z: np.sum(np.angle(z)),
    "mixed with real": lambda z: np.real(np.sum(r * z * np.sin(z))),
    "norm": lambda z: np.linalg.norm(z),
    "attribute": lambda z: np.sum((z * C[1]).imag + z.real),
    "vdot": lambda z: np.real(np.vdot(C[0], z) * np.vdot(z, z)),
}


@pytest.mark.parametrize("name", REAL_FUNCTIONS)
def test_gradient_of_a_real_function_of_complex_numbers(name: str) -> None:
    f = REAL_FUNCTIONS[name]
    np.testing.assert_allclose(ea.grad(f)(z), wirtinger(f, z), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", REAL_FUNCTIONS)
def test_against_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    jnp = pytest.importorskip("jax.numpy")

    f = REAL_FUNCTIONS[name]
    code = f.__code__
    theirs = type(f)(code, {**f.__globals__, "np": jnp})
    with jax.enable_x64(True):
        np.testing.assert_allclose(ea.grad(f)(z), jax.grad(theirs)(z), rtol=1e-10, atol=1e-12)
        v = rng.standard_normal(3) + 1j * rng.standard_normal(3)
        ours = ea.jvp(f, (z,), (v,))[1]
        np.testing.assert_allclose(ours, jax.jvp(theirs, (z,), (v,))[1], rtol=1e-10, atol=1e-12)
        ours = ea.jvp(ea.grad(f), (z,), (v,))[1]
        np.testing.assert_allclose(ours, jax.jvp(jax.grad(theirs), (z,), (v,))[1], rtol=1e-9, atol=1e-11)


def test_holomorphic_jacobian_is_the_complex_derivative() -> None:
    J = ea.jacobian(lambda z: np.sin(C @ z))(z)
    np.testing.assert_allclose(J, np.cos(C @ z)[:, None] * C, rtol=1e-12)


def test_jacobians_between_real_and_complex() -> None:
    J = ea.jacobian(lambda x: np.exp(1j * x))(r)
    np.testing.assert_allclose(J, np.diag(1j * np.exp(1j * r)), rtol=1e-12)
    J = ea.jacobian(lambda z: np.abs(z) ** 2)(z)
    np.testing.assert_allclose(J, np.diag(2 * np.conj(z)), rtol=1e-12)


def test_a_real_argument_gets_a_real_gradient() -> None:
    gradient = ea.grad(lambda x: np.sum(np.abs(C @ x) ** 2))(r)
    assert gradient.dtype == np.float64
    np.testing.assert_allclose(gradient, 2 * np.real(C.conj().T @ (C @ r)), rtol=1e-12)


def test_vjp_is_the_plain_transpose_without_conjugation() -> None:
    v = rng.standard_normal(3) + 0j
    _, pullback = ea.vjp(lambda z: C @ z, z)
    np.testing.assert_allclose(pullback(v)[0], C.T @ v, rtol=1e-12)
