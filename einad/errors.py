"""The errors users meet. Each message says what was found, what was expected and what to try."""

from __future__ import annotations

__all__ = [
    "ConcretizationError",
    "DerivativeError",
    "MemoryLimitError",
    "NotationError",
    "ShapeError",
]


class NotationError(ValueError):
    """A string in index notation or an einsum string that cannot be read.

    Parameters
    ----------
    message : str
        What was found and what was expected, with what to try.
    text : str, optional
        The user's own text; the faulty place is shown under it with a caret.
    position : int, optional
        The offset of the faulty character in ``text``.

    Examples
    --------
    >>> print(NotationError("unknown function 'foo'", "y = foo(x)", 4))
    unknown function 'foo'
      y = foo(x)
          ^
    """

    def __init__(self, message: str, text: str | None = None, position: int | None = None) -> None:
        self.message, self.text, self.position = message, text, position
        super().__init__(message if text is None else f"{message}\n{point_at(text, position)}")


class ShapeError(ValueError):
    """Operands whose shapes do not fit one another or the labels given to them."""


class DerivativeError(TypeError):
    """A derivative was asked for where there is none: integers, non-scalar losses, opaque functions."""


class ConcretizationError(TypeError):
    """A traced tensor was asked for its value where that would cut the gradient or is impossible."""


class MemoryLimitError(MemoryError):
    """A plan would need more memory than allowed; nothing was allocated."""


def point_at(text: str, position: int | None) -> str:
    """The line of ``text`` that holds ``position``, indented, with a caret under it.

    >>> print(point_at("a = b", 4))
      a = b
          ^
    """
    if position is None:
        return "\n".join("  " + line for line in text.splitlines())
    position = min(position, len(text))
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    return f"  {line}\n  {' ' * (position - start)}^"
