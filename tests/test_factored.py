"""Factored derivatives: every operation against dense NumPy, closed forms and `ea.jacobian` itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad.factored import FactoredTensor
from einad.testing.strategies import Program, functions

rng = np.random.default_rng(7)

T, U, V = rng.standard_normal((7, 6)), rng.standard_normal((7, 2)), rng.standard_normal((6, 2))
MASK = rng.random((7, 6)) < 0.8
X, y, W = rng.standard_normal((5, 3)), rng.standard_normal(5), rng.standard_normal((3, 3))
C, w = rng.standard_normal((3, 4)), rng.standard_normal(4)


def residual(U: Any) -> Any:
    return np.sum((T - U @ V.T) ** 2)


def masked(U: Any) -> Any:
    return np.sum(MASK * (T - U @ V.T) ** 2)


def logistic(b: Any) -> Any:
    return np.sum(np.log(1 + np.exp(-y * (X @ b))))


def network(W: Any) -> Any:
    return np.sum((np.tanh(np.tanh(X @ W) @ C) @ w - y) ** 2)


def log_sum_exp(x: Any) -> Any:
    return np.log(np.sum(np.exp(x)))


def orthogonality(W: Any) -> Any:
    return np.sum((W.T @ W - np.eye(3)) ** 2)


def wide(make: Any, f: Any, x: Any) -> tuple[FactoredTensor, np.ndarray]:
    return make(f, factored=True)(x), make(f)(x)


CASES: dict[str, tuple[Any, Any, Any]] = {
    "low rank": (ea.hessian, residual, U),
    "masked": (ea.hessian, masked, U),
    "logistic": (ea.hessian, logistic, w[:3]),
    "log-sum-exp": (ea.hessian, log_sum_exp, w),
    "network": (ea.hessian, network, W),
    "orthogonality": (ea.hessian, orthogonality, W),
    "tanh": (ea.jacobian, np.tanh, X),
    "residual layer": (ea.jacobian, lambda X: X + np.tanh(X @ W), X),
    "matrix to vector": (ea.jacobian, lambda X: np.sin(X @ W) @ w[:3], X),
    "softmax": (ea.jacobian, lambda X: np.exp(X) / np.sum(np.exp(X), axis=1, keepdims=True), X),
    "outer product": (ea.jacobian, lambda x: x[:, None] * np.cos(x), w),
    "differences": (ea.jacobian, lambda x: x[1:] - x[:-1], w),
    "cumulative sum": (ea.jacobian, lambda x: np.cumsum(np.sin(x)), w),
    "transpose": (ea.jacobian, lambda X: X.T, X),
    "scalar": (ea.jacobian, np.sin, np.float64(0.3)),
    "constant": (ea.jacobian, lambda x: np.ones((2, 3)), w),
    "nothing": (ea.jacobian, lambda x: 2 * x, np.zeros((0, 3))),
    "single precision": (ea.hessian, lambda U: np.sum((T.astype("f4") - U @ V.T.astype("f4")) ** 2), U.astype("f4")),
    "complex": (ea.jacobian, lambda z: z**3 + np.sum(z) * (1 + 2j), w[:3] + 1j * w[1:]),
}
SQUARE = sorted({"low rank", "masked", "logistic", "log-sum-exp", "network", "orthogonality", "tanh", "complex"})


@pytest.fixture(scope="module", params=CASES)
def pair(request: pytest.FixtureRequest) -> tuple[FactoredTensor, np.ndarray]:
    return wide(*CASES[request.param])


def close(found: Any, expected: Any) -> None:
    single = np.asarray(expected).dtype in (np.float32, np.complex64)
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4 if single else 1e-11, atol=1e-5 if single else 1e-11)


# --- every operation against the dense tensor -----------------------------------------------------------------


def test_dense(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    J, expected = pair
    assert (J.shape, J.ndim, J.size, J.dtype) == (expected.shape, expected.ndim, expected.size, expected.dtype)
    close(J.dense(), expected)
    close(np.asarray(J), expected)
    assert J.dense().dtype == expected.dtype


def test_products_with_arrays(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    J, dense = pair
    v = rng.standard_normal(J.in_shape).astype(J.dtype)
    u = rng.standard_normal(J.out_shape).astype(J.dtype)
    close(J.matvec(v), np.tensordot(dense, v, len(J.in_shape)))
    close(J @ v, np.tensordot(dense, v, len(J.in_shape)))
    close(J.rmatvec(u), np.tensordot(u, dense, len(J.out_shape)))
    close(u @ J, np.tensordot(u, dense, len(J.out_shape)))


def test_transpose(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    J, dense = pair
    rows = len(J.out_shape)
    close(J.T.dense(), np.transpose(dense, [*range(rows, J.ndim), *range(rows)]))
    close(J.T.T.dense(), dense)


def test_composition(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    J, dense = pair
    gram = J.T @ J
    assert isinstance(gram, FactoredTensor)
    close(gram.dense(), np.tensordot(J.T.dense(), dense, len(J.out_shape)))


def test_sums_and_multiples(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    J, dense = pair
    close((J + J).dense(), 2 * dense)
    close((3 * J - J).dense(), 2 * dense)
    close((-J).dense(), -dense)
    close((J * np.float32(0.5)).dense(), 0.5 * dense)
    close((np.float32(0.5) * J).dense(), 0.5 * dense)
    close((J * 1j).dense(), 1j * dense)


def test_blocks(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    J, dense = pair
    close(J[...], dense)
    if not dense.size:
        return
    for index in ((0,) * J.ndim, (-1,) * J.ndim, (slice(None, None, 2),) * J.ndim, (slice(1, None),) * J.ndim):
        close(J[index], dense[index])
    if J.ndim > 1:
        close(J[..., 1:], dense[..., 1:])
        close(J[0], dense[0])
        close(J[..., -1], dense[..., -1])
        close(J[0, ..., ::-1], dense[0, ..., ::-1])


def test_sparse(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    J, dense = pair
    found = J.to_scipy_sparse()
    assert sparse.issparse(found)
    assert found.format == "csr"
    close(found.toarray(), dense.reshape(found.shape))
    assert found.dtype == J.dtype


def test_linear_operator(pair: tuple[FactoredTensor, np.ndarray]) -> None:
    pytest.importorskip("scipy.sparse.linalg")
    J, dense = pair
    operator = J.as_linear_operator()
    matrix = dense.reshape(operator.shape)
    v, u = (rng.standard_normal(n).astype(J.dtype) for n in operator.shape[::-1])
    close(operator @ v, matrix @ v)
    close(operator.rmatvec(u), matrix.conj().T @ u)


@pytest.mark.parametrize("name", SQUARE)
def test_diagonal_and_trace(name: str) -> None:
    J, dense = wide(*CASES[name])
    matrix = dense.reshape(J.dense().size // J.in_shape[0] // int(np.prod(J.in_shape[1:], dtype=int)), -1)
    close(J.diagonal(), np.diagonal(matrix).reshape(J.in_shape))
    close(J.trace(), np.trace(matrix))


@pytest.mark.parametrize("name", sorted(set(SQUARE) - {"orthogonality", "log-sum-exp"}))
def test_solve(name: str) -> None:
    J, dense = wide(*CASES[name])
    b = rng.standard_normal(J.out_shape)
    n = b.size
    expected = np.linalg.solve(dense.reshape(n, n) + 0.0, b.ravel()).reshape(b.shape)
    np.testing.assert_allclose(J.matvec(J.solve(b)), b, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(J.solve(b), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(functions(max_lines=4), st.integers(0, 2**16))
def test_any_function(program: Program, seed: int) -> None:
    expected = ea.jacobian(program)(*program.args)
    J = ea.jacobian(program, factored=True)(*program.args)
    assert J.shape == expected.shape
    np.testing.assert_allclose(J.dense(), expected, rtol=1e-9, atol=1e-9)
    v = np.random.default_rng(seed).standard_normal(J.in_shape)
    np.testing.assert_allclose(J.matvec(v), np.tensordot(expected, v, v.ndim), rtol=1e-8, atol=1e-8)


# --- what is stored, and how it reads -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "stored"),
    [
        ("low rank", "H[i,j,k,l] = 2 δ[i,k] M[j,l]", 2 * 2 * 8),
        ("masked", "H[i,j,k,l] = 2 δ[i,k] M[", 7 * 2 * 2 * 8),
        ("tanh", "J[i,j,k,l] = δ[i,k] δ[j,l] M[i,j]", X.nbytes),
        ("residual layer", "J[i,j,k,l] = δ[i,k] δ[j,l] + δ[i,k] ", W.nbytes + X.nbytes),
        ("softmax", "J[i,j,k,l] = δ[i,k] ", None),
        ("transpose", "J[i,j,k,l] = δ[i,l] δ[j,k]", 0),
        ("constant", "J[i,j,k] = 0", 0),
        ("nothing", "J[i,j,k,l] = 2 δ[i,k] δ[j,l]", 0),
        ("single precision", "H[i,j,k,l] = 2 δ[i,k] M[j,l]", 2 * 2 * 4),
    ],
)
def test_text_and_bytes(name: str, text: str, stored: int | None) -> None:
    make, f, x = CASES[name]
    J = make(f, factored=True)(x)
    assert str(J).startswith(text)
    assert stored is None or J.nbytes == stored
    assert repr(J).startswith(f"<FactoredTensor {J.out_shape} x {J.in_shape}, {J.nbytes} bytes: {J}")


def test_log_sum_exp_is_a_diagonal_and_an_outer_product() -> None:
    x = rng.standard_normal(300)
    H = ea.hessian(log_sum_exp, factored=True)(x)
    p = np.exp(x) / np.sum(np.exp(x))
    assert H.nbytes <= 8 * (300 + 1)
    np.testing.assert_allclose(H.dense(), np.diag(p) - np.outer(p, p), atol=1e-15)
    v = rng.standard_normal(300)
    np.testing.assert_allclose(H @ v, p * v - p * (p @ v), atol=1e-15)


def test_logistic_regression_stores_a_matrix() -> None:
    H = ea.hessian(logistic, factored=True)(w[:3])
    s = 1 / (1 + np.exp(y * (X @ w[:3])))
    close(H.dense(), np.einsum("n,ni,nj->ij", y**2 * s * (1 - s), X, X))
    assert H.nbytes == 9 * 8


def test_a_delta_inside_a_contraction_is_found() -> None:
    """Of ``‖A Aᵀ‖²``: ``H = 4 (δ[i,k] (AᵀA)[j,l] + A[i,l] A[k,j] + (A Aᵀ)[i,k] δ[j,l])``."""
    A = rng.standard_normal((30, 4))
    H = ea.hessian(lambda A: np.sum((A @ A.T) ** 2), factored=True)(A)
    assert sum(term.coefficient for term in H.terms) == 4 * 3
    eye_n, eye_d = np.eye(30), np.eye(4)
    terms = [("ik,jl", eye_n, A.T @ A), ("il,kj", A, A), ("ik,jl", A @ A.T, eye_d)]
    close(H.dense(), 4 * sum(np.einsum(f"{s}->ijkl", a, b) for s, a, b in terms))
    assert H.nbytes < 4 * 8 * (30 * 30 + 30 * 4 + 4 * 4)


def test_newton_reaches_the_optimum_of_a_low_rank_fit_in_one_small_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    T, U, V = (rng.standard_normal(shape) for shape in ((1000, 80), (1000, 10), (80, 10)))

    def f(U: Any) -> Any:
        return np.sum((T - U @ V.T) ** 2)

    H = ea.hessian(f, factored=True)(U)
    assert H.shape == (1000, 10, 1000, 10)
    assert str(H) == "H[i,j,k,l] = 2 δ[i,k] M[j,l]"
    assert H.nbytes == 10 * 10 * 8 < 10_000
    sizes = []
    solve = np.linalg.solve
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: sizes.append((a.shape, b.shape)) or solve(a, b))
    best = U - H.solve(ea.grad(f)(U))
    assert sizes == [((10, 10), (10, 1000))]
    np.testing.assert_allclose(best, T @ V @ np.linalg.inv(V.T @ V), atol=1e-10)


def test_newton_solves_a_masked_fit_row_by_row() -> None:
    H, step = ea.hessian(masked, factored=True)(U), ea.grad(masked)(U)
    best = U - H.solve(step)
    for row in range(7):
        kept = MASK[row]
        expected = np.linalg.lstsq(V[kept], T[row, kept], rcond=None)[0]
        np.testing.assert_allclose(best[row], expected, atol=1e-9)


# --- solving --------------------------------------------------------------------------------------------------


def spd(x: Any) -> Any:
    return np.sum(np.cosh(x)) + np.sum(x) ** 2


def test_large_blocks_are_solved_by_conjugate_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    x, b = rng.standard_normal((2, 40))
    H = ea.hessian(spd, factored=True)(x)
    expected = np.linalg.solve(np.diag(np.cosh(x)) + 2, b)
    np.testing.assert_allclose(H.solve(b), expected, atol=1e-10)
    monkeypatch.setattr("einad.factored.solving.MAX_BLOCK", 10)
    monkeypatch.setattr(np.linalg, "solve", lambda a, b: pytest.fail("a block was formed"))
    np.testing.assert_allclose(H.solve(b), expected, atol=1e-9)
    np.testing.assert_allclose(H.solve(np.zeros(40)), np.zeros(40), atol=0)
    np.testing.assert_allclose(H.solve(b, tolerance=1e-2), expected, atol=1e-1)


def test_conjugate_gradients_want_a_positive_definite_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("einad.factored.solving.MAX_BLOCK", 1)
    H = ea.hessian(lambda x: np.sum(x) ** 2 - 3 * np.sum(x * x), factored=True)(np.ones(5))
    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        H.solve(np.arange(5.0))


def test_singular_blocks_are_refused() -> None:
    H = ea.hessian(lambda x: np.sum(x) ** 2, factored=True)(np.ones(5))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        H.solve(np.ones(5))
    nothing = ea.hessian(lambda x: np.sum(x), factored=True)(np.ones(5))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        nothing.solve(np.ones(5))


# --- containers, complex numbers, ownership -------------------------------------------------------------------


def test_blocks_come_in_the_containers_of_output_and_arguments() -> None:
    def f(params: Any, scale: Any) -> Any:
        return {"sum": np.sum(params["W"] * scale), "act": [np.tanh(params["W"] @ params["b"])]}

    params = {"W": W, "b": w[:3]}
    found = ea.jacobian(f, argnums=(0, 1), factored=True)(params, 2.0)
    expected = ea.jacobian(f, argnums=(0, 1))(params, 2.0)
    for name in ("W", "b"):
        close(found["sum"][0][name].dense(), expected["sum"][0][name])
        close(found["act"][0][0][name].dense(), expected["act"][0][0][name])
    close(found["sum"][1].dense(), np.sum(W))
    close(found["act"][0][1].dense(), np.zeros(3))
    assert found["sum"][0]["b"].nbytes == 0
    assert found["act"][0][0]["W"].nbytes < 9 * 8


def test_hessian_blocks_of_several_arguments() -> None:
    A, B = rng.standard_normal((4, 3)), rng.standard_normal((3, 5))
    H = ea.hessian(lambda A, B: np.sum(A @ B), argnums=(0, 1), factored=True)(A, B)
    dense = ea.hessian(lambda A, B: np.sum(A @ B), argnums=(0, 1))(A, B)
    assert [str(block) for row in H for block in row] == [
        "H[i,j,k,l] = 0",
        "H[i,j,k,l] = δ[j,k]",
        "H[i,j,k,l] = δ[i,l]",
        "H[i,j,k,l] = 0",
    ]
    for row, dense_row in zip(H, dense, strict=True):
        for block, expected in zip(row, dense_row, strict=True):
            close(block.dense(), expected)


def test_a_vector_function_has_a_hessian_of_three_groups_of_axes() -> None:
    H = ea.hessian(lambda x: np.sin(x) * np.sum(x), factored=True)(w)
    assert (H.out_shape, H.in_shape) == ((4, 4), (4,))
    close(H.dense(), ea.hessian(lambda x: np.sin(x) * np.sum(x))(w))


def test_matrix_free_forms_own_their_memory() -> None:
    x = w.copy()
    J = ea.jacobian(lambda x: x * 1.0, factored=True)(x)
    v = rng.standard_normal(4)
    kept = v.copy()
    found = J @ v
    found[:] = 0
    np.testing.assert_array_equal(v, kept)
    D = ea.jacobian(lambda x: C @ x, factored=True)(w)
    first = D.dense()
    first[:] = 0
    close(D.dense(), C)
    np.testing.assert_array_equal(x, w)


def test_a_closed_over_array_that_changes_later_does_not_change_the_tensor() -> None:
    A = rng.standard_normal((3, 4))
    J = ea.jacobian(lambda x: A @ x, factored=True)(w)
    before = A.copy()
    A[:] = 0
    close(J.dense(), before)


def test_the_second_call_with_other_values_and_the_same_shapes() -> None:
    hess = ea.hessian(masked, factored=True)
    first = hess(U)
    second = hess(2 * U)
    close(first.dense(), second.dense())
    J = ea.jacobian(np.tanh, factored=True)
    close(J(X).dense(), ea.jacobian(np.tanh)(X))
    close(J(2 * X).dense(), ea.jacobian(np.tanh)(2 * X))


# --- errors ---------------------------------------------------------------------------------------------------


def test_wrong_shapes_say_what_was_expected() -> None:
    J = ea.jacobian(lambda x: C @ x, factored=True)(w)
    with pytest.raises(ea.ShapeError, match=r"matvec needs an array of shape \(4,\), got \(3,\)"):
        J.matvec(np.ones(3))
    with pytest.raises(ea.ShapeError, match=r"rmatvec needs an array of shape \(3,\), got \(4,\)"):
        J.rmatvec(np.ones(4))
    with pytest.raises(ea.ShapeError, match=r"cannot compose \(3, 4\) with \(3, 4\): \(4,\) != \(3,\)"):
        J @ J
    with pytest.raises(ea.ShapeError, match=r"cannot add factored tensors of shapes \(3, 4\) and \(4, 3\)"):
        J + J.T
    for what in ("diagonal", "trace"):
        with pytest.raises(ea.ShapeError, match=rf"{what} needs equal output and input shapes, got \(3,\) and \(4,\)"):
            getattr(J, what)()
    with pytest.raises(ea.ShapeError, match="solve needs equal output and input shapes"):
        J.solve(np.ones(3))
    for operation in (lambda: J + np.ones((3, 4)), lambda: np.ones((3, 4)) - J, lambda: J * np.ones((3, 4))):
        with pytest.raises(TypeError, match="unsupported operand|does not support"):
            operation()
    with pytest.raises(TypeError, match="can't multiply"):
        J * "x"


def test_wrong_indices_say_what_was_found() -> None:
    J = ea.jacobian(lambda x: C @ x, factored=True)(w)
    with pytest.raises(IndexError, match="too many indices: the tensor has 2 axes, 3 were indexed"):
        J[0, 0, 0]
    with pytest.raises(IndexError, match="ints, slices and ..., got list"):
        J[[0, 1]]
    with pytest.raises(IndexError, match="ints, slices and ..., got ndarray"):
        J[np.arange(2)]
    with pytest.raises(IndexError, match="got bool"):
        J[True]
    with pytest.raises(IndexError, match="only one ellipsis"):
        J[..., ...]
    with pytest.raises(IndexError, match="out of bounds"):
        J[5]


@pytest.mark.parametrize(
    "wrap",
    [ea.jit, ea.grad, lambda f: ea.vmap(lambda x: f(x * np.ones(4)))],
    ids=["jit", "grad", "vmap"],
)
def test_inside_another_transform_it_is_refused(wrap: Any) -> None:
    def f(x: Any) -> Any:
        return ea.jacobian(np.tanh, factored=True)(x).trace()

    with pytest.raises(ea.ConcretizationError, match="leave out factored=True"):
        wrap(f)(w)
