"""Expressions in index notation, and their derivatives as expressions."""

from einad.expression.core import Expression, expr

__all__ = ["Expression", "expr"]
