"""Small programs run by the compiled interpreter: the same values as NumPy's calls and as the reference."""

import os
import subprocess
import sys
import threading
from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pipeline import Graphs, random_array

import einad as ea
from einad import pipeline
from einad.backends import numpy as backend
from einad.backends import reference, tiny_run
from einad.backends.tiny import translate
from einad.backends.tiny_code import UnsupportedError
from einad.backends.tiny_memory import merged
from einad.diff.sweep import vjp
from einad.ir import build
from einad.ir.expr import Call, Input, Map
from einad.ops.pointwise import POINTWISE
from einad.ops.reductions import FUNCTIONS

pytest.importorskip("numba")


class Forced:
    """In place of `tiny_run.switched`: every program that can be translated is run by the interpreter."""

    def __init__(self):
        self.translated, self.refused = 0, []

    def __call__(self, program, run, thrifty=False):
        if not tiny_run.is_tiny(program):
            return run, None
        try:
            tiny = translate(program, always=True)
        except UnsupportedError as reason:
            self.refused.append(str(reason))
            return run, None
        self.translated += 1
        return tiny_run.fused(tiny, tiny_run.INTERPRETERS.get(tiny.memory.dtype)), None


@pytest.fixture
def forced(monkeypatch):
    with monkeypatch.context() as patch:
        made = Forced()
        patch.setattr(tiny_run, "switched", made)
        patch.setattr(backend, "available", lambda: True)
        patch.setattr("einad.backends.tiny_run.LEAST_CALLS", 0)
        pipeline.clear_cache()
        yield made
    pipeline.clear_cache()


def check(roots, values, tolerance=1e-12):
    before = {node: value.copy() for node, value in values.items()}
    expected = reference.evaluate(roots, values)
    for _ in range(2):
        found = pipeline.evaluate(roots, values)
        for root, got, want in zip(roots, found, expected, strict=True):
            assert type(got) is np.ndarray
            assert (got.shape, got.dtype) == (root.shape, root.dtype)
            assert got.flags.writeable
            scale = 1 + np.abs(want[np.isfinite(want)]).max(initial=0)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)
        arrays = [*found, *values.values()]
        for n, a in enumerate(found):
            assert not any(np.shares_memory(a, b) for b in arrays[n + 1 :])
            a[...] = 7  # nobody else sees this
        for node, value in values.items():
            np.testing.assert_array_equal(value, before[node])


def inputs_for(rng, nodes):
    return {x: random_array(rng, x.shape, x.dtype) for x in nodes}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 3e-5)])
def test_random_graphs(forced, dtype, tolerance):
    for seed in range(150):
        rng = np.random.default_rng(seed)
        graphs = Graphs(rng, dtype)
        nodes = graphs.grow(12)
        check([nodes[-1], nodes[-2], nodes[-1], nodes[0]], inputs_for(rng, graphs.inputs), tolerance)
    assert forced.translated > 70


def test_random_graphs_backwards(forced):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        graphs = Graphs(rng)
        output = graphs.grow(9)[-1]
        cotangent = Input("v", output.shape)
        gradients = vjp(pipeline.prepare([output]), [cotangent], graphs.inputs)
        check([output, *gradients], inputs_for(rng, [*graphs.inputs, cotangent]), 1e-10)
    assert forced.translated > 40


ONE = ("square", "reciprocal", "sign", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "arctan", "abs")
SPECIAL = np.array(
    [0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-300, 5e-324, 1e-20, -1e-20, 709.0, 710.0, -745.0, -800.0]
)


@pytest.mark.parametrize("name", [*ONE, "reciprocal_or_zero", "stop_gradient"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_functions_of_one_argument(forced, name, dtype):
    with np.errstate(all="ignore"):
        x = Input("x", (2000,), dtype)
        spread = (
            10.0 ** np.random.default_rng(0).uniform(-12, 2, 2000 - len(SPECIAL))
            * np.tile([1, -1], 1000)[len(SPECIAL) :]
        )
        values = np.concatenate([SPECIAL, spread]).astype(dtype)
        (found,) = pipeline.evaluate([Map(POINTWISE[name], x)], {x: values})
        wanted = np.asarray(POINTWISE[name].evaluate(values.astype(np.longdouble)), dtype)
        near = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(found, wanted, rtol=near, atol=float(np.finfo(dtype).tiny) * (dtype == "float32"))
    assert forced.translated == 1


@pytest.mark.parametrize(
    "name", ["maximum", "minimum", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal"]
)
def test_functions_of_two_arguments(forced, name):
    x, y = Input("x", (14, 1)), Input("y", (1, 14))
    p, q = (build.einsum(["ij"], "ij", [node]) for node in (x, y))
    p, q = build.einsum(["ij"], "ik", [p], {"k": 14}), build.einsum(["ij"], "kj", [q], {"k": 14})
    z = Map(POINTWISE[name], p, q)
    picked = Map(POINTWISE["where"], z, p, build.scale(q, 2.0)) if z.dtype == bool else z
    found = pipeline.evaluate([z, picked], {x: SPECIAL[:, None], y: SPECIAL[None]})
    wanted = reference.evaluate([z, picked], {x: SPECIAL[:, None], y: SPECIAL[None]})
    for mine, other in zip(found, wanted, strict=True):
        assert mine.dtype == other.dtype
        np.testing.assert_array_equal(mine, other)


SPECS = ["ij,jk->ik", "ji,jk->ik", "ij,kj->ik", "ji,kj->ki", "i,i->", "ij,j->i", "ij,i->j", "i,j->ij", "bij,bjk->bik"]
SPECS += [
    "bij,bkj->ikb",
    "aij,bjk->abik",
    "abij,abjk->abik",
    "bi,bi->b",
    "ij,ij->",
    "ij,k->kij",
    "ij,j->",
    "ijk,kl->jil",
]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(SPECS), st.lists(st.sampled_from([0, 1, 2, 3, 5, 8, 17]), min_size=6, max_size=6), st.integers(0, 9)
)
def test_contractions(spec, sizes, seed):
    rng = np.random.default_rng(seed)
    inputs, output = spec.split("->")
    shape = dict(zip("abijkl", sizes, strict=True))
    nodes = [Input(f"x{n}", tuple(shape[label] for label in term)) for n, term in enumerate(inputs.split(","))]
    root = build.einsum(inputs.split(","), output, nodes, shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_run, "switched", Forced())
        patch.setattr(backend, "available", lambda: True)
        patch.setattr("einad.backends.tiny_run.LEAST_CALLS", 0)
        pipeline.clear_cache()
        check([root], inputs_for(rng, nodes))
    pipeline.clear_cache()


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2), (1, 3), (0, 3)])
@pytest.mark.parametrize("size", [0, 1, 5])
def test_sums(forced, axes, size):
    x = Input("x", (3, size, 4, 2))
    root = build.einsum(["abcd"], "".join([label for n, label in enumerate("abcd") if n not in axes]), [x])
    check([root, Map(POINTWISE["tanh"], root)], {x: np.random.default_rng(0).standard_normal(x.shape)})
    assert forced.translated


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 2), (0, 1, 2)])
def test_largest_and_smallest(forced, name, axes):
    x = Input("x", (3, 5, 4))
    values = np.random.default_rng(0).standard_normal(x.shape)
    values[1, 2, 3] = np.nan
    root = Call(FUNCTIONS[name], (x,), (axes,))
    (found,) = pipeline.evaluate([root], {x: values})
    np.testing.assert_array_equal(found, getattr(np, name)(values, axis=axes))
    assert forced.translated == 1


def recurrent(w, x):
    h = np.zeros(6)
    for t in range(8):
        h = np.tanh(w @ h + x[t])
    return np.sum(h * h)


ARGUMENTS = np.random.default_rng(0).standard_normal((6, 6)) / 3, np.random.default_rng(1).standard_normal((8, 6))


def test_a_recurrent_net_against_jax(forced):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    def g(w, x):
        h = jnp.zeros(6, w.dtype)
        for t in range(8):
            h = jnp.tanh(w @ h + x[t])
        return jnp.sum(h * h)

    value, (dw, dx) = ea.jit(ea.value_and_grad(recurrent, (0, 1)))(*ARGUMENTS)
    assert type(value) is np.float64
    assert forced.translated == 1
    with jax.enable_x64(True):
        wanted, (ew, ex) = jax.value_and_grad(g, (0, 1))(*map(jnp.asarray, ARGUMENTS))
        for mine, other in ((value, wanted), (dw, ew), (dx, ex)):
            np.testing.assert_allclose(mine, np.asarray(other), rtol=1e-12, atol=1e-14)


def test_threads_share_nothing(forced):
    f = ea.jit(ea.grad(recurrent, (0, 1)))
    cases = [(ARGUMENTS[0] * k, ARGUMENTS[1] + k) for k in range(4)]
    wanted = [f(*case) for case in cases]
    wrong = []

    def work(k):
        same = [all(map(np.array_equal, f(*cases[k]), wanted[k])) for _ in range(300)]
        wrong.extend([k] * same.count(False))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert forced.translated == 1
    assert not wrong


@pytest.fixture
def installed(monkeypatch):
    """The switch itself, with its job done where it is asked for."""
    monkeypatch.setenv("EINAD_FUSED", "1")
    monkeypatch.setattr(tiny_run, "INTERPRETERS", tiny_run.Interpreters())
    monkeypatch.setattr(tiny_run.COMPILER, "submit", lambda job: job())
    pipeline.clear_cache()
    yield
    pipeline.clear_cache()


def test_the_switch(installed):
    plan = ea.plan(ea.grad(recurrent, (0, 1)), *ARGUMENTS)
    before = plan(*ARGUMENTS)
    for _ in range(tiny_run.WARM - 2):
        plan(*ARGUMENTS)
    assert f"one compiled call after {tiny_run.WARM} runs" in plan.source()
    plan(*ARGUMENTS)
    assert "# The program: one compiled call\n" in plan.source()
    for mine, other in zip(plan(*ARGUMENTS), before, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-14)
    pipeline.clear_cache()
    later = ea.plan(ea.grad(recurrent, (0, 1)), *ARGUMENTS)
    assert "# The program: one compiled call\n" in later.source()
    for mine, other in zip(later(*ARGUMENTS), plan(*ARGUMENTS), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_errors_are_raised_where_they_are_asked_for(installed):
    plan = ea.plan(lambda x: np.exp(np.exp(x) + np.tanh(x)) * np.exp(x), np.ones(3))
    x = np.full(3, 100.0)
    for _ in range(tiny_run.WARM):
        with np.errstate(all="ignore"):
            plan(x)
    assert "# The program: one compiled call\n" in plan.source()
    assert np.isinf(plan(x)[0]).all()
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="overflow"):
        plan(x)


def test_it_can_be_switched_off(monkeypatch, installed):
    monkeypatch.setenv("EINAD_FUSED", "0")
    plan = ea.plan(ea.grad(recurrent, (0, 1)), *ARGUMENTS)
    assert "# The program:" not in plan.source()


def test_a_failing_compiler_changes_nothing(monkeypatch, installed):
    def fail(name):
        if name.endswith("kernel"):
            raise ImportError(f"no {name} here")
        return import_module(name)

    monkeypatch.setattr(tiny_run, "import_module", fail)
    plan = ea.plan(ea.grad(recurrent, (0, 1)), *ARGUMENTS)
    before = plan(*ARGUMENTS)
    for _ in range(tiny_run.WARM + 1):
        after = plan(*ARGUMENTS)
    assert "not compiled: ImportError" in plan.source()
    for mine, other in zip(after, before, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_programs_that_would_be_slower_stay_with_numpy(installed):
    plan = ea.plan(lambda a: ((a @ a) @ a) @ (np.tanh(a) @ (np.sin(a) @ a)), np.ones((90, 90)))
    for _ in range(tiny_run.WARM + 1):
        plan(np.ones((90, 90)))
    assert "where NumPy takes" in plan.source()


def test_axes_are_merged_where_all_operands_walk_evenly():
    assert merged((2, 3, 4), [(12, 4, 1), (12, 4, 1)]) == ([24], [(1,), (1,)])
    assert merged((2, 3, 4), [(12, 4, 1), (0, 4, 1)]) == ([2, 12], [(12, 1), (0, 1)])
    assert merged((1, 1), [(5, 5)]) == ([], [()])


SCRIPT = """
import sys
import numpy as np, einad as ea
f = ea.jit(ea.grad(lambda x: np.sum(np.tanh(x * x + np.sin(x)) * x)))
x = np.ones(5)
f(x)
print("numba" in sys.modules)
for _ in range(100):
    f(x)
"""


def test_the_first_call_and_the_end_do_not_wait_for_the_compiler():
    env = {**os.environ, "EINAD_FUSED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False, env=env
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "False\n", "")
