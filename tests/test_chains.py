"""Chains of elementwise calls: the same values block by block as in full."""

import os
import subprocess
import sys
from importlib.util import find_spec
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad.backends import chains as texts
from einad.backends import compiler, kernels, reference
from einad.backends import numpy as backend
from einad.ir import build
from einad.ir.expr import Add, Input, Map
from einad.lower import chain_calls, chain_groups, chains
from einad.lower.graph import lower
from einad.ops.pointwise import POINTWISE

SIZES = {"a": 3, "b": 4, "c": 5}


@pytest.fixture(autouse=True, scope="module")
def _small():
    """Chains of the smallest arrays, in blocks of a few elements."""
    with (
        mock.patch.object(chains, "LEAST_BYTES", 0),
        mock.patch.object(chain_calls, "WORKING_SET", 0),
        mock.patch.object(chain_calls, "BLOCK_BYTES", 64),
    ):
        yield


def apply(name, *args):
    return Map(POINTWISE[name], *args)


def times(*factors):
    return build.einsum(["abc"] * len(factors), "abc", factors)


STEPS = {
    "map": lambda x, y: apply("sin", x),
    "square": lambda x, y: apply("square", apply("tanh", x)),
    "add": Add,
    "minus": lambda x, y: Add(x, build.scale(y, -1)),
    "multiply": times,
    "divide": lambda x, y: times(x, apply("reciprocal", apply("exp", apply("tanh", y)))),
    "scale": lambda x, y: build.scale(x, 2.5),
    "mask": lambda x, y: times(build.cast(apply("greater", x, y), float), x),
    "row sums": lambda x, y: build.einsum(["ab"], "abc", [build.einsum(["abc"], "ab", [x])], SIZES),
    "column sums": lambda x, y: build.einsum(["c"], "abc", [build.einsum(["abc"], "c", [x])], SIZES),
}


@st.composite
def graphs(draw):
    """A random program of pointwise functions, sums, products, broadcasts, transpositions and reductions."""
    inputs = [Input("x", (3, 4, 5)), Input("y", (5, 3)), Input("z", (4,)), Input("w", (5, 4, 3))]
    labels = "abc", "ca", "b", "cba"
    pool = [build.einsum([each], "abc", [node], SIZES) for each, node in zip(labels, inputs, strict=True)]
    for _ in range(draw(st.integers(2, 10))):
        pool.append(
            STEPS[draw(st.sampled_from(sorted(STEPS)))](draw(st.sampled_from(pool)), draw(st.sampled_from(pool[-3:])))
        )
    roots = draw(st.lists(st.sampled_from(pool[4:]), min_size=1, max_size=3))
    sums = draw(st.lists(st.sampled_from(["", "a", "b", "c", "ab", "bc", "ac"]), max_size=2))
    return [*roots, *[build.einsum(["abc"], kept, [roots[0]]) for kept in sums]], inputs


def compiled(roots, inputs, grouped=True, threads=1, fused=False):
    """The plan with chains or without, and the chains whose loops can be compiled."""
    made = []

    class Switch(compiler.Switch):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    def group(program, *_, **__):
        return chain_groups.group_chains(program, threads, fused) if grouped else program

    with (
        mock.patch.object(backend, "_chained", group),
        mock.patch.object(texts, "available", return_value=fused),
        mock.patch.object(texts, "Switch", Switch),
    ):
        plan = backend.compile_program(lower(roots, inputs))
    plan.__dict__["switches"] = made
    return plan


@settings(deadline=None, max_examples=300)
@given(graphs(), st.sampled_from([8, 64, 200]), st.integers(0, 99), st.booleans())
def test_chains_of_random_programs(case, block, seed, fortran):
    roots, inputs = case
    rng = np.random.default_rng(seed)
    arrays = [np.array(rng.standard_normal(node.shape), order="F" if fortran else "C") for node in inputs]
    before = [each.copy() for each in arrays]
    with mock.patch.object(chain_calls, "BLOCK_BYTES", block):
        plan = compiled(roots, inputs)
    wanted = reference.evaluate(roots, dict(zip(inputs, arrays, strict=True)))
    full = compiled(roots, inputs, grouped=False)(*arrays)
    for _ in range(2):
        found = plan(*arrays)
        for n, (mine, other, reliable) in enumerate(zip(found, full, wanted, strict=True)):
            np.testing.assert_allclose(mine, reliable, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-12)
            assert not any(np.shares_memory(mine, each) for each in (*arrays, *found[:n], *found[n + 1 :]))
    for mine, old in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(mine, old)


def softplus(dtype=float, n=40):
    x = Input("x", (n,), dtype)
    e = apply("exp", x)
    above = Add(e, build.full((n,), 1, dtype))
    total = build.einsum(["i"], "", [apply("log", above)])
    return [total, build.einsum(["i", "i"], "i", [e, apply("reciprocal", above)])], [x]


def kinds(plan):
    return [step.kind for step in plan.steps if "block" in step.kind]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_and_its_gradient(dtype):
    roots, inputs = softplus(dtype)
    plan = compiled(roots, inputs)
    assert kinds(plan) == [
        "elementwise, in blocks",
        *["elementwise, in the same blocks"] * 3,
        "reduce, in the same blocks",
    ]
    x = np.linspace(-3, 3, 40, dtype=dtype)
    value, slope = plan(x)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(value, np.log1p(np.exp(x.astype(float))).sum(), rtol=20 * eps)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-x.astype(float))), rtol=8 * eps)


def test_intermediate_results_take_no_memory():
    with mock.patch.object(chain_calls, "BLOCK_BYTES", 1 << 14):
        roots, inputs = softplus(n=100_000)
        plan, full = compiled(roots, inputs), compiled(roots, inputs, grouped=False)
    assert plan.peak_bytes < 900_000
    assert full.peak_bytes > 2_300_000


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from(["map", "square", "add", "multiply", "scale", "divide", "mask"]), min_size=2, max_size=8),
    st.integers(0, 99),
)
def test_elementwise_bits_do_not_depend_on_blocks(steps, seed):
    inputs = [Input("x", (3, 4, 5)), Input("y", (3, 4, 5))]
    pool = list(inputs)
    for name in steps:
        pool.append(STEPS[name](pool[-1], pool[-2]))
    arrays = list(np.random.default_rng(seed).standard_normal((2, 3, 4, 5)))
    (found,), (wanted,) = compiled(pool[-1:], inputs)(*arrays), compiled(pool[-1:], inputs, grouped=False)(*arrays)
    np.testing.assert_array_equal(found, wanted, strict=True)


@pytest.mark.parametrize("size", [24, 37])
def test_bits_do_not_depend_on_threads(size):
    x, b = Input("x", (size, size)), Input("b", (size,))
    h = apply("tanh", Add(x, build.einsum(["j"], "ij", [b], {"i": size})))
    g = build.einsum(["ij", "ij"], "ij", [h, Add(h, x)])
    roots = [g, *[build.einsum(["ij"], kept, [g]) for kept in ("", "i", "j")]]
    arrays = [np.random.default_rng(1).standard_normal(node.shape) for node in (x, b)]
    with mock.patch.object(chain_calls, "PARALLEL_COST", 0):
        plan = compiled(roots, [x, b], threads=2)
    assert "share(part" in plan.source()
    results = []
    for threads in (1, 2, 3):
        with mock.patch.object(texts, "free_threads", lambda threads=threads: threads):
            results.append(plan(*arrays))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_results_take_the_memory_of_operands_that_die():
    x, w = Input("x", (6, 7)), Input("w", (7, 8))
    product = build.einsum(["ij", "jk"], "ik", [x, w])
    roots = [apply("tanh", build.scale(apply("square", product), 0.5))]
    plan = compiled(roots, [x, w])
    assert "view, in place" in [step.kind for step in plan.steps]
    assert plan.peak_bytes <= 8 * 6 * 8 + 256
    a, b = np.random.default_rng(0).standard_normal((6, 7)), np.random.default_rng(1).standard_normal((7, 8))
    np.testing.assert_allclose(plan(a, b)[0], np.tanh(0.5 * (a @ b) ** 2), rtol=1e-12)


def test_long_chains_are_grouped_in_linear_time():
    x = Input("x", (4, 5))
    node = x
    for _ in range(3000):
        node = apply("tanh", Add(node, x))
    (found,) = compiled([node], [x])(np.full((4, 5), 0.1))
    value = 0.1
    for _ in range(3000):
        value = np.tanh(value + 0.1)
    np.testing.assert_allclose(found, value, rtol=1e-12)


needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="needs the extra einad[fused]")


def polynomial(dtype):
    x, b, w = Input("x", (6, 5), dtype), Input("b", (5,), dtype), Input("w", (5, 6), dtype)
    rows = build.einsum(["j"], "ij", [b], {"i": 6})
    turned = build.einsum(["ji"], "ij", [w])
    mask = build.cast(apply("greater", x, rows), dtype)
    y = build.einsum(["ij", "ij"], "ij", [Add(x, rows), apply("square", Add(turned, mask))])
    z = build.einsum(
        ["ij", "ij"], "ij", [y, apply("reciprocal", Add(apply("square", x), build.full((6, 5), 2, dtype)))]
    )
    return [z, build.einsum(["ij"], "j", [apply("exp", apply("tanh", z))]), Add(z, build.scale(y, -0.3))], [x, b, w]


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F", "readonly", "reversed"])
def test_compiled_loops_give_the_same_bits(dtype, order):
    roots, inputs = polynomial(dtype)
    with mock.patch.object(chain_calls, "BLOCK_BYTES", 80):
        plan = compiled(roots, inputs, fused=True)
    assert plan.switches
    arrays = [np.random.default_rng(n).standard_normal(node.shape).astype(dtype) for n, node in enumerate(inputs)]
    if order == "reversed":
        arrays = [each[::-1] for each in arrays]
    arrays = [np.array(each, order="F") if order == "F" else each for each in arrays]
    for each in arrays:
        each.flags.writeable = order != "readonly"
    before = plan(*arrays)
    for switch in plan.switches:
        switch.compile()
        assert switch.status == "compiled"
    after = plan(*arrays)
    wanted = reference.evaluate(roots, dict(zip(inputs, arrays, strict=True)))
    for old, new, reliable in zip(before, after, wanted, strict=True):
        np.testing.assert_array_equal(old, new, strict=True)
        np.testing.assert_allclose(new, reliable, rtol=2e3 * np.finfo(dtype).eps)


@needs_numba
def test_every_formula_does_what_numpy_does():
    x, y = Input("x", (50,)), Input("y", (50,))
    values = np.array([0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 5e-324, 1e308, 3.0])
    arrays = [np.tile(values, 5), np.repeat(values, 5)]
    for name in sorted(kernels.FORMULAS.keys() & POINTWISE.keys() - {"logical_not"}):
        row = POINTWISE[name]
        node = apply(name, *[Add(x, build.scale(y, 0)), Add(y, x)][: row.evaluate.nin])
        roots = [Add(build.cast(node, float), x)]
        plan = compiled(roots, [x, y], fused=True)
        with np.errstate(all="ignore"):
            before = plan(*arrays)
            for switch in plan.switches:
                switch.compile()
                assert switch.status == "compiled", name
            np.testing.assert_array_equal(plan(*arrays)[0], before[0], err_msg=name)
        assert plan.switches


@needs_numba
def test_floating_point_errors_are_raised_where_the_user_asks_for_it():
    roots, inputs = polynomial(float)
    plan = compiled(roots, inputs, fused=True)
    for switch in plan.switches:
        switch.compile()
    arrays = [np.full(node.shape, 1e300) for node in inputs]
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        plan(*arrays)


def test_a_failing_compiler_changes_nothing():
    roots, inputs = polynomial(float)
    plan = compiled(roots, inputs, fused=True)
    arrays = [np.random.default_rng(n).standard_normal(node.shape) for n, node in enumerate(inputs)]
    before = plan(*arrays)
    with mock.patch.object(compiler, "import_module", side_effect=ImportError("no compiler here")):
        for switch in plan.switches:
            compiler.COMPILER.kernels.clear()
            switch.compile()
            assert switch.status == "not compiled: ImportError: no compiler here"
    for old, new in zip(before, plan(*arrays), strict=True):
        np.testing.assert_array_equal(old, new)
    assert "not compiled: ImportError: no compiler here" in plan.source()


SCRIPT = """
import sys
import numpy as np, einad as ea
f = ea.jit(ea.grad(lambda x: np.sum(x * x * x + 2 * x * x - 3 * x)))
x = np.ones(100_000)
f(x)
print("numba" in sys.modules)
for _ in range(5):
    f(x)
"""


@needs_numba
def test_the_first_call_and_the_end_do_not_wait_for_the_compiler():
    env = {**os.environ, "EINAD_FUSED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False, env=env
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")


def test_casts_are_made_once():
    def f(x, m):
        return np.sum((x * (x > 0)) ** 2) + np.sum(np.exp(x) * (x > 0))

    plan = ea.plan(ea.grad(f), np.ones((30, 40)), np.ones((30, 40)))
    casts = [step for step in plan.steps if step.statement.count("float64(")]
    assert len(casts) <= 1
