"""Hypothesis strategies shared by all tests of derivatives.

`specs` and `einsum_cases` draw einsums in the closed notation, `arrays` exact numbers in any memory layout, and
`functions` small programs written with plain NumPy.
"""

from einad.testing.arrays import DTYPES, FLOATING, arrays, shapes
from einad.testing.contractions import EinsumCase, einsum_cases, specs
from einad.testing.programs import Program, functions

__all__ = ["DTYPES", "FLOATING", "EinsumCase", "Program", "arrays", "einsum_cases", "functions", "shapes", "specs"]
