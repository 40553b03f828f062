"""Which call a contraction becomes, and with how many copies: by label roles and layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import einad as ea
from einad.lower.gemm import block_rows
from einad.plan.plan import Plan

SIZES = {"n": 40, "m": 30, "i": 50, "j": 60, "k": 70, "s": 3}
LARGE = {"n": 16, "m": 40, "i": 120, "j": 80, "k": 100, "s": 8}


def operands(spec: str, sizes: dict[str, int], dtype: str = "float64") -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    inputs = spec.split("->", maxsplit=1)[0].split(",")
    arrays = [rng.standard_normal([sizes[label] for label in labels]) for labels in inputs]
    return [(x + 0.5j * x[::-1] if dtype == "complex128" and x.ndim else x).astype(dtype) for x in arrays]


def expected_of(spec: str, arrays: list[np.ndarray]) -> np.ndarray:
    """NumPy's value; a label twice in the output is a diagonal."""
    inputs, output = spec.split("->")
    distinct = "".join(dict.fromkeys(output))
    value = np.einsum(f"{inputs}->{distinct}", *arrays, optimize=True)
    if distinct == output:
        return np.asarray(value)
    sizes = dict(zip(distinct, value.shape, strict=True))
    full = np.zeros([sizes[label] for label in output], value.dtype)
    places = np.indices(value.shape)
    full[tuple(places[distinct.index(label)] for label in output)] = value
    return full


def plan_of(spec: str, sizes: dict[str, int] = SIZES, dtype: str = "float64") -> tuple[Plan, list[np.ndarray]]:
    """The plan of an einsum, whose value is NumPy's."""
    arrays = operands(spec, sizes, dtype)
    plan = ea.plan(lambda *xs: ea.einsum(spec, *xs), *arrays)
    (value,) = plan(*arrays)
    expected = expected_of(spec, arrays)
    tolerance = 2e-3 if dtype == "float32" else 1e-10
    np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=1))
    return plan, arrays


def kinds(plan: Plan) -> list[str]:
    """The kinds of calls that compute something."""
    return [step.kind for step in plan.steps if step.kind not in ("view", "copy", "constant")]


TABLE = {
    # a number times a number, a vector, a matrix
    ",->": ["elementwise"],
    ",i->i": ["elementwise"],
    ",ij->ji": ["elementwise"],
    # elementwise products, also with broadcasting
    "i,i->i": ["elementwise"],
    "ij,ij->ij": ["elementwise"],
    "ij,ji->ij": ["elementwise"],
    "ij,i->ij": ["elementwise"],
    "ij,j->ij": ["elementwise"],
    # outer products
    "i,j->ij": ["elementwise"],
    "ij,k->ijk": ["elementwise"],
    "ni,nj->nij": ["elementwise"],
    # dots
    "i,i->": ["dot"],
    "ij,ij->": ["dot"],
    "ij,ji->": ["dot"],
    "ni,ni->n": ["dot"],
    # matrix times vector, either way round
    "ij,j->i": ["gemv"],
    "ij,i->j": ["gemv"],
    "j,ij->i": ["gemv"],
    "ijk,k->ij": ["gemv"],
    "ijk,jk->i": ["gemv"],
    # matrix products in every orientation
    "ij,jk->ik": ["gemm"],
    "ij,kj->ik": ["gemm"],
    "ji,jk->ik": ["gemm"],
    "ij,jk->ki": ["gemm"],
    "nij,jk->nik": ["gemm"],
    "ijn,nk->ijk": ["gemm"],
    "ijk,jkm->im": ["gemm"],
    # batches
    "nij,njk->nik": ["batched gemm"],
    "nij,nkj->nki": ["batched gemm"],
    "ijn,jkn->ikn": ["batched gemm"],
    "nij,nj->ni": ["batched gemm"],
    "nmij,nmjk->nmik": ["batched gemm"],
    # reductions
    "i->": ["reduce"],
    "ij->i": ["reduce"],
    "ij->j": ["reduce"],
    "ijk->ik": ["reduce"],
    # a label on one operand alone is summed there first
    "ij,jk->i": ["reduce", "gemv"],
    # diagonals are views, deltas are strided writes into zeros
    "ii->": ["reduce"],
    "i->ii": ["fill", "write"],
    "ij->iij": ["fill", "write"],
}


@pytest.mark.parametrize("spec", TABLE)
def test_the_kind_of_call(spec: str) -> None:
    plan, _ = plan_of(spec)
    found = kinds(plan)
    assert [kind.removesuffix(", in place") for kind in found] == TABLE[spec]


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@pytest.mark.parametrize("spec", ["ij,jk->ik", "nij,njk->nik", "ij,j->i", "i,i->"])
def test_other_dtypes_have_the_same_kinds(spec: str, dtype: str) -> None:
    assert kinds(plan_of(spec, dtype=dtype)[0]) == TABLE[spec]


@pytest.mark.parametrize(
    "spec",
    [
        "ij,jk->ik",
        "ij,kj->ik",
        "ji,jk->ik",
        "ji,kj->ki",
        "nij,jk->nik",
        "nij,njk->nik",
        "nij,nkj->nik",
        "inj,njk->nik",
        "ijk,jm->imk",
        "ijk,jm->mik",
        "nimk,nj->ijmk",
    ],
)
def test_no_operand_of_a_matrix_product_is_copied(spec: str) -> None:
    """Not even where the summed labels stand in the middle: the outer ones become a batch."""
    plan, arrays = plan_of(spec, LARGE if "nimk" not in spec else SIZES)
    product = next(step for step in plan.steps if "gemm" in step.kind)
    result = np.einsum(spec, *arrays, optimize=True).nbytes
    assert product.bytes == sum(x.nbytes for x in arrays) + result


def test_a_thin_batch_is_one_product_with_broadcasting() -> None:
    plan, _ = plan_of("ni,nj->nij", {"n": 5000, "i": 2, "j": 3})
    assert kinds(plan) == ["elementwise"]


@pytest.mark.parametrize(("m", "k", "n"), [(24_000, 150, 20), (2000, 200, 10), (1009, 50, 50), (20_011, 16, 16)])
def test_tall_products_in_blocks_of_rows(m: int, k: int, n: int) -> None:
    rows = block_rows(m, k, n)
    assert rows is not None
    assert 16 <= rows <= m // 2
    assert rows * k * n <= 1_000_000
    plan, _ = plan_of("ij,jk->ik", {"i": m, "j": k, "k": n})
    assert "matmul_rows" in plan.source()


@pytest.mark.parametrize(("m", "k", "n"), [(500, 400, 400), (50, 60, 70), (0, 3, 4), (10**6, 0, 3)])
def test_other_products_are_one_call(m: int, k: int, n: int) -> None:
    assert block_rows(m, k, n) is None


def test_a_weighted_gram_matrix_is_formed_by_halves() -> None:
    x, w = np.random.default_rng(0).standard_normal((500, 300)), np.random.default_rng(1).random(500)
    plan = ea.plan(lambda x, w: np.einsum("ki,k,kj->ij", x, w, x), x, w)
    assert plan.flops < 1.3 * 500 * 300 * 300
    np.testing.assert_allclose(plan(x, w)[0], (x.T * w) @ x, atol=1e-9)


def test_nothing_runs_through_numpy_einsum() -> None:
    for spec in TABLE:
        assert "einsum" not in plan_of(spec)[0].source()


def layouts_of(x: np.ndarray) -> list[Any]:
    return [x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[::-1]]


@pytest.mark.parametrize("spec", ["ij,jk->ik", "nij,njk->nik", "ijk,jm->imk", "ij,j->i", "ij->j", "ijk->ik"])
def test_any_layout_of_the_inputs_gives_the_same_value(spec: str) -> None:
    plan, arrays = plan_of(spec)
    for choice in range(4):
        given = [layouts_of(x)[choice] for x in arrays]
        expected = np.einsum(spec, *given, optimize=True)
        np.testing.assert_allclose(plan(*given)[0], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spec", ["aib,abj->ij", "aib,abj->ji", "aicb,abj->icj"])
def test_labels_between_summed_ones_are_multiplied_apart(spec: str) -> None:
    """A large operand is not transposed: the products for each outer summed label are added afterwards."""
    sizes = {"a": 60, "b": 70, "i": 80, "j": 5, "c": 3}
    plan, arrays = plan_of(spec, sizes)
    assert all(step.bytes < 1.5 * arrays[0].nbytes for step in plan.steps)
    assert [step.kind for step in plan.steps if step.kind != "view"][-2:] in (
        ["batched gemm", "reduce"],
        ["reduce", "copy"],
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
@pytest.mark.parametrize("exponent", [2, 3, 4, 7, 13, 64, -2, -3, -5])
def test_whole_powers_are_products(exponent: int, dtype: str) -> None:
    """NumPy's power of a negative number takes as long as two hundred products."""
    (x,) = operands("ij->ij", {"i": 5, "j": 6}, dtype)
    x = x / np.abs(x) * (0.5 + np.abs(x) / 4)
    plan = ea.plan(lambda x: x**exponent, x)
    assert "power" not in plan.source()
    (value,) = plan(x)
    assert value.dtype == x.dtype
    np.testing.assert_allclose(value, x**exponent, rtol=2e-5 if dtype == "float32" else 1e-12)


def test_powers_of_broadcasts_of_numbers_and_of_integers() -> None:
    x = np.array([1.0, -2.0, 3.0])
    np.testing.assert_allclose(ea.plan(lambda x: np.broadcast_to(x, (2, 3)) ** 3, x)(x)[0], [x**3, x**3])
    np.testing.assert_allclose(ea.plan(lambda x: (2 * x[:, None]) ** 5, x)(x)[0], (2 * x[:, None]) ** 5)
    n = np.array([-3, 2, 7])
    np.testing.assert_array_equal(ea.plan(lambda n: n**3, n)(n)[0], n**3)
    assert ea.grad(lambda x: np.sum(x**3))(x).tolist() == [3.0, 12.0, 27.0]
