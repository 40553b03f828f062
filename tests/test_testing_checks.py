"""Planted faults: wrong derivatives must be caught and named, right ones pass, kinks are told apart."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings

import einad as ea
from einad.testing import GradientError, KinkError, check_grads, check_jvp, check_vjp
from einad.testing.strategies import functions

rng = np.random.default_rng(7)
W, X, Z = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=(3,)) + 1j * rng.normal(size=(3,))


def product(w, x):
    return np.tanh(w @ x)


def pullback_of_product(w, x, ct):
    slope = ct * (1 - np.tanh(w @ x) ** 2)
    return slope @ x.T, w.T @ slope


def vjp_with(change):
    """The right VJP of ``product``, with its pair of results changed."""
    return lambda w, x: (product(w, x), lambda ct: change(*pullback_of_product(w, x, ct)))


WRONG_VJPS = {
    "sign": lambda a, b: (-a, b),
    "factor 2": lambda a, b: (a, 2 * b),
    "dropped": lambda a, b: (a, np.zeros_like(b)),
    "reversed": lambda a, b: (a[::-1], b),
    "one entry": lambda a, b: (a + 1e-3 * (np.arange(a.size).reshape(a.shape) == 5), b),
    "off by a millionth": lambda a, b: ((1 + 1e-6) * a, b),
    "not a number": lambda a, b: (a * np.nan, b),
}


def test_right_hand_written_rules_pass():
    check_vjp(product, vjp_with(lambda a, b: (a, b)), (W, X))
    check_jvp(
        product,
        lambda primals, tangents: (
            product(*primals),
            (tangents[0] @ primals[1] + primals[0] @ tangents[1]) * (1 - product(*primals) ** 2),
        ),
        (W, X),
    )


@pytest.mark.parametrize("fault", WRONG_VJPS)
def test_wrong_vjps_are_caught(fault):
    with pytest.raises(GradientError, match=r"the vjp of f disagrees with finite differences\n  argument \d, entry"):
        check_vjp(product, vjp_with(WRONG_VJPS[fault]), (W, X))


def test_the_report_names_argument_entry_and_both_values():
    def pull(ct):
        a, b = pullback_of_product(W, X, ct)
        b[2, 1] *= 2
        return a, b

    with pytest.raises(GradientError, match=r"argument 1, entry \[2, 1\]: vjp gives .* 2 times as much"):
        check_vjp(product, lambda w, x: (product(w, x), pull), (W, X))


WRONG_JVPS = {
    "sign": lambda w, x, s, t: -(s @ x) + w @ t,
    "dropped term": lambda w, x, s, t: s @ x,
    "factor 2": lambda w, x, s, t: 2 * (s @ x + w @ t),
    "primal for tangent": lambda w, x, s, t: s @ x + w @ x,
}


@pytest.mark.parametrize("fault", WRONG_JVPS)
def test_wrong_jvps_are_caught(fault):
    rule = WRONG_JVPS[fault]
    with pytest.raises(GradientError, match="the jvp of f disagrees with finite differences"):
        check_jvp(np.matmul, lambda primals, tangents: (primals[0] @ primals[1], rule(*primals, *tangents)), (W, X))


def test_a_transposed_gradient_of_a_square_matrix_is_caught():
    A, b = rng.normal(size=(3, 3)), rng.normal(size=3)
    check_vjp(lambda a: a @ b, lambda a: (a @ b, lambda ct: (np.outer(ct, b),)), (A,))
    with pytest.raises(GradientError, match="disagrees"):
        check_vjp(lambda a: a @ b, lambda a: (a @ b, lambda ct: (np.outer(b, ct),)), (A,))


def test_a_missing_conjugation_is_caught():
    """``f(z) = |z|²``: under the pairing Re(sum(ct * t)) the VJP is ``2 ct conj(z)``."""

    def f(z):
        return (z * np.conj(z)).real

    check_vjp(f, lambda z: (f(z), lambda ct: (2 * ct * np.conj(z),)), (Z,))
    with pytest.raises(GradientError, match=r"argument 0, entry \[\d\] \(imaginary part\)"):
        check_vjp(f, lambda z: (f(z), lambda ct: (2 * ct * z,)), (Z,))


def test_a_wrong_shape_dtype_or_value_is_caught():
    with pytest.raises(GradientError, match=r"the vjp of f should be float64 of shape \(3, 4\), found .* \(4, 3\)"):
        check_vjp(product, vjp_with(lambda a, b: (a.T, b)), (W, X))
    with pytest.raises(GradientError, match="should be float64 .* found float32"):
        check_vjp(product, vjp_with(lambda a, b: (a.astype(np.float32), b)), (W, X))
    with pytest.raises(GradientError, match="is not the value of f"):
        check_vjp(product, lambda w, x: (2 * product(w, x), lambda ct: pullback_of_product(w, x, ct)), (W, X))


RIGHT = {
    "matrix product": (lambda w, x: w @ x, (W, X)),
    "network": (lambda w, x: np.sum(np.log1p(np.exp(np.tanh(w @ x) @ x.T))), (W, X)),
    "containers": (lambda p: {"y": p["w"] @ p["xs"][0], "s": np.sum(p["w"])}, ({"w": W, "xs": [X]},)),
    "integers held constant": (lambda x, n: np.sum(x**2) * n, (X, 3)),
    "single precision": (product, (W.astype(np.float32), X.astype(np.float32))),
    "complex": (lambda z: np.sum(np.exp(z) * np.conj(z)), (Z,)),
    "complex to real": (lambda z: np.abs(z) ** 3, (Z,)),
    "complex single precision": (lambda z: np.sin(z) * z.real, (Z.astype(np.complex64),)),
    "scalars": (lambda a, b: a * np.sin(b), (2.0, np.float64(0.5))),
    "large values": (lambda x: np.sum(x**2) / 1e6, (1e6 * W,)),
    "small values": (lambda x: np.sum(np.sin(x) ** 2), (1e-6 * W,)),
    "no dependence": (lambda x: (np.zeros(3), x * 0.0), (X,)),
    "empty": (lambda x: np.sqrt(1 + x * x), (np.zeros((0, 2)),)),
    "edge of the domain": (lambda x: np.log(x), (np.array([1e-3, 2.0]),)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_derivatives_pass(name):
    f, args = RIGHT[name]
    check_grads(f, args, order=2)


@dataclass
class Layer:
    weight: np.ndarray
    bias: np.ndarray


def test_dataclasses_and_order_three_pass():
    layer = Layer(W, rng.normal(size=(3, 1)))
    check_grads(lambda p, x: np.sum(np.tanh(p.weight @ x + p.bias) ** 2), (layer, X), order=3)


@pytest.mark.parametrize("modes", [("fwd",), ("rev",)])
def test_one_mode_alone(modes):
    check_grads(product, (W, X), order=2, modes=modes)


@settings(max_examples=25)
@given(functions(max_lines=5))
def test_random_programs_pass(program):
    check_grads(program, program.args, order=2)


@settings(max_examples=10)
@given(functions(max_lines=3, dtype="float32"))
def test_random_programs_in_single_precision_pass(program):
    check_grads(program, program.args, order=1)


def wrong_sine(derivative):
    return ea.elementwise(np.sin, derivative=derivative)


@pytest.mark.parametrize(
    "derivative", [lambda x: -np.cos(x), lambda x: 2 * np.cos(x), lambda x: np.cos(x) + 1e-5, lambda x: np.sin(x)]
)
def test_wrong_pointwise_derivatives_are_caught_and_named(derivative):
    f = wrong_sine(derivative)
    with pytest.raises(GradientError, match=r"argument 0\['b'\]\[1\], entry \[\d, \d\]"):
        check_grads(lambda p: np.sum(p["a"] ** 2) + np.sum(f(p["b"][1])), ({"a": X, "b": (W, W)},), order=1)


def test_a_wrong_second_derivative_is_caught_at_order_two_only():
    cosine = ea.elementwise(np.cos, derivative=lambda x: np.sin(x))
    f = wrong_sine(cosine)
    check_grads(f, (X,), order=1)
    with pytest.raises(GradientError, match="the jvp of jvp of f disagrees"):
        check_grads(f, (X,), order=2)
    with pytest.raises(GradientError, match="the vjp of vjp of f disagrees"):
        check_grads(f, (X,), order=2, modes=("rev",))


KINKS = {
    "abs": (lambda x: np.sum(np.abs(x)), np.array([1.0, 0.0, -2.0]), r"argument 0, entry \[1\]: slope -"),
    "ramp": (lambda x: np.maximum(x, 0.0) * 3, np.array([0.0, 1.0]), r"entry \[0\]"),
    "tie": (lambda x: np.max(x), np.array([1.0, 2.0, 2.0]), r"entry \[[12]\]"),
    "norm": (lambda x: np.linalg.norm(x), np.zeros(2), r"entry \[\d\]"),
    "jump": (lambda x: np.floor(x), np.array([0.5, 2.0]), r"entry \[1\]"),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_reported_apart(name):
    f, x, place = KINKS[name]
    with pytest.raises(KinkError, match="has a kink at this point: its one-sided slopes disagree") as caught:
        check_grads(f, (x,), order=1)
    assert caught.match(place)


def test_away_from_kinks_piecewise_functions_pass():
    check_grads(lambda x: np.sum(np.maximum(np.abs(x), 0.3)), (np.array([1.0, 0.1, -2.0]),), order=2)


def test_points_that_cannot_be_checked_are_refused():
    with pytest.raises(GradientError, match="not finite at this point"):
        check_grads(lambda x: np.log(x), (np.array([-1.0]),))
    with pytest.raises(TypeError, match="no argument holds floating-point"):
        check_grads(lambda x: x, (3,))
    with pytest.raises(TypeError, match="returns no floating-point"):
        check_grads(lambda x: x > 0, (np.ones(2),))
    with pytest.raises(ValueError, match="modes must be some of 'fwd' and 'rev'"):
        check_grads(np.sin, (1.0,), modes=("backward",))
    with pytest.raises(ValueError, match="order must be at least 1"):
        check_grads(np.sin, (1.0,), order=0)


def test_arguments_are_not_written_to():
    args = (W.copy(), X.copy())
    check_grads(product, args, order=2)
    assert np.array_equal(args[0], W)
    assert np.array_equal(args[1], X)
