"""For tests of functions that are differentiated: `check_grads`, and strategies for hypothesis in `strategies`."""

from einad.testing.checks import check_grads, check_jvp, check_vjp
from einad.testing.report import GradientError, KinkError

__all__ = ["GradientError", "KinkError", "check_grads", "check_jvp", "check_vjp"]
