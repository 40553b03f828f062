"""The measured slope: right where functions are smooth, honest about its error, and aware of kinks."""

from math import cos, exp, log, nan, sin, sqrt

import pytest

from einad.testing.numeric import measured_order, slope

EPS = 2.2e-16

SMOOTH = {
    "exp": (exp, 1.0),
    "cubic": (lambda h: 2 + 3 * h - 7 * h**3, 3.0),
    "linear": (lambda h: 1 - 4 * h, -4.0),
    "constant": (lambda h: 5.0, 0.0),
    "extremum": (lambda h: 1 + h * h, 0.0),
    "fast oscillation": (lambda h: sin(30 * h) + 2, 30.0),
    "large values": (lambda h: 1e6 * exp(h), 1e6),
    "undefined for large steps": (lambda h: log(1e-3 + h) if h > -1e-3 else nan, 1e3),
    "kink nearby": (lambda h: abs(h + 1e-3), 1.0),
    "small slope on a large value": (lambda h: 1e3 + 1e-2 * sin(h), 1e-2),
}
KINKED = {
    "abs": abs,
    "ramp": lambda h: max(h, 0.0) + cos(h),
    "cusp": lambda h: sqrt(abs(h)),
    "jump": lambda h: float(h > 0) + h,
    "small kink on a large value": lambda h: 1e3 + 1e-2 * abs(h),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_slope_lies_within_a_few_times_its_estimated_error(name):
    phi, expected = SMOOTH[name]
    found = slope(phi, abs(phi(0.0)), EPS)
    assert abs(found.value - expected) <= 20 * found.error + 1e-13 * abs(expected)
    assert found.error <= 1e-5 * max(1.0, abs(expected))
    assert not found.kink


@pytest.mark.parametrize("name", KINKED)
def test_kinks_are_seen(name):
    phi = KINKED[name]
    assert slope(phi, max(abs(phi(0.0)), 1.0), EPS).kink


def test_order_of_a_smooth_function_is_two():
    assert slope(exp, 1.0, EPS).order == pytest.approx(2, abs=0.01)


def test_order_of_a_function_with_a_kink_in_its_slope_is_one():
    found = slope(lambda h: max(h, 0.0) ** 2 + h, 1.0, EPS)
    assert found.order == pytest.approx(1, abs=0.01)
    assert not found.kink


def test_order_is_unknown_where_differences_are_exact():
    assert measured_order([2.0] * 10, [1e-16] * 10) != measured_order([2.0] * 10, [1e-16] * 10)


def test_no_slope_where_the_function_is_not_finite():
    found = slope(lambda h: nan, 1.0, EPS)
    assert found.value != found.value
    assert found.error == float("inf")
