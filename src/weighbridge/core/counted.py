"""Says how many of a thing there are, with the word for one or for several."""

from __future__ import annotations


def plural(count: int, word: str, words: str = "", *, form: str = "d") -> str:
    """`1 file`, `2 files`; `words` where the plural is no `word` with an s, `form` as in `format` for the number."""
    return f"{count:{form}} {word if count == 1 else words or word + 's'}"
