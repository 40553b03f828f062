"""Plans cost what an expert's hand-written program costs: bounds on FLOPs and bytes, free of noise."""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import einad as ea
from einad import pipeline
from einad.lower.program import Dense, Program
from einad.plan.plan import Plan

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from workloads import W

DERIVATIVES = {"gradient": ea.value_and_grad, "jacobian": ea.jacobian, "hessian": ea.hessian}


def plan_of(name: str) -> Plan:
    """The plan of a benchmark's derivative."""
    w = W[name]
    f, args = w.make()
    return ea.plan(DERIVATIVES[w.kind](lambda *xs: f(np, *xs), w.argnums), *args)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    """The programs lowered during a test."""
    found: list[Program] = []
    compile_program = pipeline.compile_program
    monkeypatch.setattr(pipeline, "compile_program", lambda program: found.append(program) or compile_program(program))
    pipeline.clear_cache()
    return found


def stored_deltas(programs: list[Program]) -> int:
    return sum(isinstance(arg, Dense) for program in programs for op in program.ops for arg in op.args)


def output_bytes(plan: Plan, *args: Any) -> int:
    return sum(out.nbytes for out in plan(*args))


# --- Hessians -------------------------------------------------------------------------------------------------


def test_hessian_of_a_matrix_factorisation_is_one_small_product(programs: list[Program]) -> None:
    n, k = 200, 5
    plan = plan_of("h_matfac")
    assert plan.flops <= 2 * n * k**2 + 2 * k**2
    assert plan.bytes_moved <= 1.01 * 8 * (n * k) ** 2
    assert plan.peak_bytes <= 1.01 * 8 * (n * k) ** 2
    assert programs
    assert stored_deltas(programs) == 0


def test_hessian_of_a_network_by_its_first_layer_is_one_symmetric_product(programs: list[Program]) -> None:
    n, d = 500, 30
    plan = plan_of("h_mlp")
    full, halves = 2 * n * d**4, 2 * n * (d * (d + 1) // 2) ** 2
    assert plan.flops <= 1.3 * full
    assert plan.flops <= 1.1 * (halves + 2 * n * d**3)
    assert stored_deltas(programs) == 0


def test_hessian_of_logistic_regression_is_one_weighted_gram_matrix() -> None:
    n, d = 2000, 400
    plan = plan_of("h_logreg")
    assert plan.flops <= 1.1 * 2 * n * d**2
    assert max(step.flops for step in plan.steps) < 0.7 * 2 * n * d**2
    assert sum(step.flops > n * d for step in plan.steps) <= 2, "one product by a vector, one by a matrix"


# --- Jacobians ------------------------------------------------------------------------------------------------


def test_jacobian_of_a_residual_layer_never_multiplies_by_its_delta(programs: list[Program]) -> None:
    n, m = 100, 20
    X, layer = np.random.default_rng(0).standard_normal((n, m)), np.eye(m) / 3 + 0.1
    plan = ea.plan(ea.jacobian(lambda X: X + np.tanh(X @ layer)), X)
    assert plan.flops <= 3 * n * m**2 + 6 * n * m
    assert plan.peak_bytes <= 1.05 * 8 * (n * m) ** 2
    assert stored_deltas(programs) == 0
    J = plan(X)[0]
    slope = 1 - np.tanh(X @ layer) ** 2
    blocks = np.eye(m) + slope[:, :, None] * layer.T
    np.testing.assert_allclose(np.einsum("njnl->njl", J), blocks, atol=1e-14)
    assert np.count_nonzero(J) <= n * m**2


@pytest.mark.parametrize("depth", [1, 3, 30])
def test_elementwise_jacobian_is_one_evaluation_and_one_strided_write(depth: int) -> None:
    def f(x: Any) -> Any:
        for _ in range(depth):
            x = np.tanh(x) + x
        return x

    x = np.linspace(-1, 1, 2000)
    plan = ea.plan(ea.jacobian(f), x)
    assert plan.flops <= 10 * depth * x.size
    assert plan.bytes_moved <= (1 + 0.02 * depth) * 8 * x.size**2
    assert [step.kind for step in plan.steps[-2:]] == ["fill", "write"]
    slope = np.ones_like(x)
    value = x
    for _ in range(depth):
        slope = slope * (2 - np.tanh(value) ** 2)
        value = np.tanh(value) + value
    np.testing.assert_allclose(plan(x)[0], np.diag(slope), rtol=1e-12)


def test_tanh_of_5000_elements_costs_the_function_and_the_write() -> None:
    x = np.linspace(-1, 1, 5000)
    plan = ea.plan(ea.jacobian(np.tanh), x)
    assert plan.flops <= 3 * x.size
    assert plan.bytes_moved <= 1.01 * 8 * x.size**2


def test_a_factored_jacobian_writes_nothing_dense() -> None:
    x = np.linspace(-1, 1, 5000)
    jacobian = ea.jacobian(np.tanh, factored=True)
    jacobian(x)
    tracemalloc.start()
    J = jacobian(x)
    product = J @ x
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert J.nbytes == x.nbytes
    assert peak < 20 * x.nbytes
    np.testing.assert_allclose(product, x * (1 - np.tanh(x) ** 2))


# --- gradients ------------------------------------------------------------------------------------------------


def test_mean_of_a_matrix_product_needs_no_matrix_product() -> None:
    n = 1000
    plan = plan_of("s3_mean_matmul")
    assert plan.flops <= 5 * n**2
    assert not any("gemm" in step.kind for step in plan.steps)


def test_norm_of_x_xt_x_is_multiplied_on_its_short_side() -> None:
    tall, short = 2000, 50
    plan = plan_of("s1_frobenius_tall")
    assert max(step.flops for step in plan.steps) <= 2 * tall * short**2
    assert plan.flops <= 6 * 2 * tall * short**2 + 6 * tall * short
    assert plan.peak_bytes < 8 * tall**2 / 4


# --- sums of Kronecker deltas ---------------------------------------------------------------------------------


def test_differences_of_points_are_not_multiplied_by_their_deltas(programs: list[Program]) -> None:
    """``∂(r[i] - r[j])/∂r[k] = δ[i,k] - δ[j,k]``: contracting with it renames indices."""
    n, d = 60, 3
    points, same = np.random.default_rng(0).standard_normal((n, d)), np.eye(60)

    def energy(points: Any) -> Any:
        gaps = points[:, None, :] - points[None, :, :]
        return 0.5 * np.sum((1 - same) * np.sqrt(np.sum(gaps**2, axis=-1) + same))

    plan = ea.plan(ea.hessian(energy), points)
    assert plan.flops <= 15 * (n * d) ** 2
    assert plan.peak_bytes <= 4.5 * 8 * (n * d) ** 2
    assert max(step.flops for step in plan.steps) <= 2 * (n * d) ** 2
    assert stored_deltas(programs) == 0
    gaps = points[:, None] - points[None]
    r = np.sqrt(np.sum(gaps**2, -1) + same)
    off = gaps[..., :, None] * gaps[..., None, :] / r[..., None, None] ** 3 - np.eye(d) / r[..., None, None]
    off *= (1 - same)[..., None, None]
    expected = np.einsum("ikab->iakb", off) - np.einsum("ik,imab->iakb", np.eye(n), off)
    np.testing.assert_allclose(plan(points)[0], expected, atol=1e-12)


def test_hessian_of_a_gram_matrix_multiplies_no_identity(programs: list[Program]) -> None:
    """Of ``‖X Xᵀ‖²``: ``4 (δ[i,k] (XᵀX)[j,l] + X[i,l] X[k,j] + (X Xᵀ)[i,k] δ[j,l])``."""
    n, d = 60, 10
    X = np.random.default_rng(0).standard_normal((n, d))
    plan = ea.plan(ea.hessian(lambda X: np.sum((X @ X.T) ** 2)), X)
    assert plan.flops <= 2.1 * (n * d) ** 2 + 2 * n * n * d + 2 * n * d * d + 2 * n * n * d
    assert stored_deltas(programs) == 0
    terms = [("ik,jl", np.eye(n), X.T @ X), ("il,kj", X, X), ("ik,jl", X @ X.T, np.eye(d))]
    expected = 4 * sum(np.einsum(f"{labels}->ijkl", a, b) for labels, a, b in terms)
    np.testing.assert_allclose(plan(X)[0], expected, atol=1e-11)


def test_a_difference_of_outer_products_is_not_multiplied_out() -> None:
    """Only deltas are: ``(a bᵀ - c dᵀ) x`` would cancel where the two nearly agree."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 50))
    x = rng.standard_normal(50) * 1e6
    f = ea.jit(lambda a, b, c, x: (a[:, None] * b - c[:, None] * b) @ x)
    tiny = 1e-9 * rng.standard_normal(50)
    exact = (a - (a + tiny)) * (b @ x)
    np.testing.assert_allclose(f(a, b, a + tiny, x), exact, rtol=1e-5)


# --- products -------------------------------------------------------------------------------------------------


def test_hessian_vector_product_of_a_network_is_seven_matrix_products() -> None:
    """Two for the value, one for the gradient's pullback, three for the tangents, one for the common last factor."""
    f, args = W["v_hvp_mlp"].make()
    n, d = args[3].shape

    def loss(*xs: Any) -> Any:
        return f(np, *xs)

    plan = ea.plan(lambda xs, v: ea.jvp(lambda w: ea.grad(loss)(w, *xs[1:]), (xs[0],), (v,))[1], args, args[0])
    assert plan.flops <= 7.2 * 2 * n * d * d
