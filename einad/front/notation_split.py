"""Cut a text in index notation into statements; faults of characters and brackets are found here."""

from __future__ import annotations

from typing import NamedTuple

from einad.errors import NotationError

MAX_LENGTH = 100_000
MAX_NESTING = 100
_pairs = {")": "(", "]": "["}


class Piece(NamedTuple):
    """The text of one statement and its offset in the whole text."""

    text: str
    at: int


def split(text: str) -> list[Piece]:
    r"""The statements of a text: separated by ``;`` or line ends outside brackets; ``#`` opens a comment.

    >>> split("a = b; c = (a +\n a)")
    [Piece(text='a = b', at=0), Piece(text='c = (a +\n a)', at=7)]
    """
    if not isinstance(text, str):
        raise TypeError(f"index notation is a string such as 'Y[i,k] = W[i,j] * X[j,k]', got {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise NotationError(f"the text is too long: {len(text)} characters, at most {MAX_LENGTH} are read")
    pieces = [piece for start, end in _cuts(text) if (piece := _trim(text, start, end)).text]
    if not pieces:
        raise NotationError("the text holds no statement; write one such as 'Y[i,k] = W[i,j] * X[j,k]'", text)
    return pieces


def _cuts(text: str) -> list[tuple[int, int]]:
    """Start and end of each piece between separators, comments left out."""
    cuts: list[tuple[int, int]] = []
    opened: list[int] = []
    start = at = 0
    while at < len(text):
        character = text[at]
        if character in "([":
            opened.append(at)
            if len(opened) > MAX_NESTING:
                raise NotationError(f"too deep: more than {MAX_NESTING} nested brackets", _line(text, at))
        elif character in ")]":
            if not opened or text[opened.pop()] != _pairs[character]:
                raise NotationError(f"this {character!r} closes nothing that is open", text, at)
        elif character == "#":
            end = text.find("\n", at)
            if opened:
                raise NotationError("a comment cannot stand inside brackets", text, at)
            cuts.append((start, at))
            start = at = len(text) if end < 0 else end
            continue
        elif character in ";\n" and not opened:
            cuts.append((start, at))
            start = at + 1
        else:
            _check_character(text, at)
        at += 1
    if opened:
        raise NotationError(f"this {text[opened[-1]]!r} is never closed", text, opened[-1])
    return [*cuts, (start, len(text))]


def _check_character(text: str, at: int) -> None:
    character = text[at]
    if character in "'\"`":
        raise NotationError("strings are no part of the notation", text, at)
    if character in "\\{}$?!" or (not character.isprintable() and character not in "\t\r\n"):
        raise NotationError(f"the character {character!r} is no part of the notation", text, at)


def _trim(text: str, start: int, end: int) -> Piece:
    piece = text[start:end]
    trimmed = piece.lstrip()
    return Piece(trimmed.rstrip(), start + len(piece) - len(trimmed))


def _line(text: str, at: int) -> str:
    """The line around an offset, cut to what fits a screen."""
    return text[max(at - 40, 0) : at + 40].replace("\n", " ")
