"""The same program gives the same plan and the same bits in every process, and values near those of the definition."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import einad as ea
from einad import pipeline
from einad.backends import reference
from einad.ir import build
from einad.ir.expr import Add, Einsum, Input, Literal, Map
from einad.ir.walk import topological
from einad.ops.pointwise import POINTWISE

PROGRAMS = """
import hashlib, sys
import numpy as np
import einad as ea

ballast = [object() for _ in range(1000 * int(sys.argv[1]))]  # other addresses
rng = np.random.default_rng(0)

def array(*shape):
    return rng.standard_normal(shape)

def network(W1, W2, X):
    return np.sum(np.tanh(np.tanh(X @ W1) @ W2) ** 2)

def recurrent(W, V, xs):
    h = np.zeros(6)
    for x in xs:
        h = np.tanh(W @ h + V @ x)
    return h @ h

def attention(X, Q, K, V):
    scores = np.exp(np.einsum("nd,de,fe,mf->nm", X, Q, K, X) / 8)
    return np.sum((scores / scores.sum(1, keepdims=True) @ X @ V) ** 3)

def matrix_product(*sites):
    spec = ",".join(f"{chr(97 + n)}{chr(98 + n)}" for n in range(len(sites)))
    return np.einsum(f"{spec}->{chr(97)}{chr(97 + len(sites))}", *sites).sum()

def quartic(X):
    return np.sum((X @ X.T @ X) ** 2)

CASES = {
    "network": (ea.value_and_grad(network, (0, 1)), (array(8, 9), array(9, 4), array(30, 8))),
    "hessian": (ea.hessian(network), (array(8, 9) / 9, array(9, 4), array(30, 8))),
    "jacobian": (ea.jacobian(lambda X, A: np.tanh(A @ X @ A)), (array(7, 7), array(7, 7))),
    "recurrent": (ea.grad(recurrent, (0, 1)), (array(6, 6), array(6, 3), array(12, 3))),
    "attention": (ea.grad(attention, (0, 1, 2, 3)), (array(9, 5), array(5, 4), array(5, 4), array(5, 5))),
    "sites": (ea.grad(matrix_product, tuple(range(14))), tuple(array(5, 5) for _ in range(14))),
    "large": (ea.value_and_grad(quartic), (array(300, 120),)),
}
for name, (f, args) in CASES.items():
    plan = ea.plan(f, *args)
    bits = b"".join(np.ascontiguousarray(x).tobytes() for x in plan(*args))
    for text in (plan.source().encode(), str(plan).encode(), bits):
        print(name, hashlib.sha256(text).hexdigest())
"""


def test_plans_and_bits_are_the_same_in_every_process():
    found = []
    for seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAMS, seed[-1]], capture_output=True, text=True, check=True, env=environment
        )
        found.append(done.stdout.splitlines())
    assert len(found[0]) == 21
    assert found[0] == found[1] == found[2]


def test_the_same_bits_from_call_to_call():
    rng = np.random.default_rng(0)
    W, x = rng.standard_normal((40, 40)), rng.standard_normal((40, 3))
    f = ea.jit(ea.value_and_grad(lambda W, x: np.sum(np.tanh(W @ W @ x) ** 2)))
    value, slope = f(W, x)
    for _ in range(5):
        again = f(W.copy(), x.copy())
        assert again[0] == value
        np.testing.assert_array_equal(again[1], slope)


# The statement on rounding (docs/decisions/0013): every entry of a result that is a sum of products lies within
# (n + m) eps of the sum of the absolute values of its terms, where n is the number of terms summed and m the number of
# operations on the way, whatever the order of contraction. Absolute values are obtained by the same graph over |x|.


def terms_below(root):
    """The most additions and multiplications on a path to an entry: each contraction adds its summed assignments."""
    depth = {}
    for node in topological([root]):
        own = 1
        if isinstance(node, Einsum):
            own += len(node.children) + int(np.prod([node.sizes[label] for label in node.spec.contracted], dtype=int))
        elif isinstance(node, Add):
            own += len(node.children)
        depth[node] = own + sum(depth[child] for child in node.children)
    return depth[root]


def of_absolute_values(root):
    """The same graph with the absolute values of all coefficients."""
    memo = {}
    for node in topological([root]):
        children = tuple(memo[child] for child in node.children)
        if isinstance(node, Einsum):
            memo[node] = Einsum(node.spec, children, node.sizes, abs(node.coefficient), node.dtype)
        else:
            memo[node] = Add(*children) if isinstance(node, Add) else node
    return memo[root]


@st.composite
def polynomials(draw):
    """A sum of contractions of contractions over three matrices, built of sums and products only."""
    size = draw(st.integers(2, 4))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    inputs = [Input(name, (size, size), dtype) for name in "ABC"]
    nodes = list(inputs)
    specs = ["ij,jk->ik", "ij,kj->ik", "ij,ij->ij", "ji->ij", "ii,jk->jk", "ij,jk,kl->il", "ij->ji"]
    for _ in range(draw(st.integers(2, 6))):
        spec = draw(st.sampled_from([*specs, "+"]))
        if spec == "+":
            nodes.append(build.add(draw(st.sampled_from(nodes)), build.scale(draw(st.sampled_from(nodes)), -0.5)))
            continue
        left, _, right = spec.partition("->")
        operands = [draw(st.sampled_from(nodes)) for _ in left.split(",")]
        nodes.append(build.einsum(left.split(","), right, operands, None, draw(st.sampled_from([1, -2, 0.75]))))
    return nodes[-1], inputs, draw(st.integers(0, 2**16))


@settings(max_examples=60, deadline=None)
@given(polynomials())
def test_the_order_of_contraction_changes_only_the_last_bits(case):
    root, inputs, seed = case
    rng = np.random.default_rng(seed)
    values = {x: rng.standard_normal(x.shape).astype(x.dtype) for x in inputs}
    exact = {x: value.astype(np.longdouble) for x, value in values.items()}
    (found,) = pipeline.evaluate([root], values)
    (expected,) = reference.evaluate([root], {x: np.asarray(value, float) for x, value in exact.items()})
    (scale,) = reference.evaluate([of_absolute_values(root)], {x: np.abs(v).astype(float) for x, v in values.items()})
    eps = np.finfo(root.dtype).eps
    assert found.dtype == root.dtype
    assert (np.abs(found - expected) <= terms_below(root) * eps * scale + np.finfo(root.dtype).tiny).all()


def test_long_sums_stay_within_the_bound():
    """The bound counts every term; blocked and pairwise sums do far better: 40 eps for 40,000 terms."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        A, B = (rng.standard_normal(shape).astype(dtype) for shape in [(3, 40_000), (40_000, 3)])
        X, Y = Input("X", A.shape, dtype), Input("Y", B.shape, dtype)
        (found,) = pipeline.evaluate([build.einsum(["ij", "jk"], "ik", [X, Y])], {X: A, Y: B})
        exact = A.astype(np.longdouble) @ B.astype(np.longdouble)
        scale = np.abs(A).astype(float) @ np.abs(B).astype(float)
        assert (np.abs(found - exact) <= 40 * np.finfo(dtype).eps * scale).all()


@pytest.mark.parametrize("residual", [1e-4, 1e-8])
def test_a_small_residual_keeps_its_digits(residual):
    """The squared norm of ``A B' - T`` near its optimum: squares are not expanded, so nothing cancels."""
    rng = np.random.default_rng(0)
    A, B, noise = rng.standard_normal((20, 3)), rng.standard_normal((15, 3)), rng.standard_normal((20, 15))
    T = A @ B.T + residual * noise

    def loss(A, B, T):
        return np.sum((np.einsum("ir,jr->ij", A, B) - T) ** 2)

    value, slope = ea.value_and_grad(loss)(A, B, T)
    error = A.astype(np.longdouble) @ B.T.astype(np.longdouble) - T
    assert value == pytest.approx(float((error**2).sum()), rel=1e-14 / residual)
    np.testing.assert_allclose(slope, np.asarray(2 * error @ B, float), atol=1e-13)


def test_literals_and_pointwise_functions_keep_their_digits():
    rng = np.random.default_rng(1)
    x, c = Input("x", (50,)), Literal(rng.standard_normal(50))
    y = Map(POINTWISE["expm1"], build.multiply(x, c))
    value = {x: 1e-9 * rng.standard_normal(50)}
    (found,) = pipeline.evaluate([build.add(y, build.scale(x, 2.0))], value)
    exact = np.expm1(value[x].astype(np.longdouble) * c.value) + 2 * value[x].astype(np.longdouble)
    np.testing.assert_allclose(found, np.asarray(exact, float), rtol=4e-16 * 8)
