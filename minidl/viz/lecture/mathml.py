"""Formulas: a small part of TeX's notation made MathML, which browsers show by themselves."""

from __future__ import annotations

import re
from html import escape

from ...errors import ArgumentError

_TOKENS = re.compile(r"\\[a-zA-Z]+|\\.|[A-Za-z]|\d+(?:\.\d+)?|[{}_^]|[^\s]")
_SIGNS = {"\\sum": "∑", "\\max": "max", "\\min": "min", "\\cdot": "·", "\\le": "≤", "\\ge": "≥",
          "\\in": "∈", "\\to": "→", "\\floor": "⌊", "\\ceil": "⌋", "\\partial": "∂", "-": "−",
          "\\infty": "∞", "\\odot": "⊙", "\\ne": "≠"}
_LETTERS = {"\\alpha": "α", "\\beta": "β", "\\gamma": "γ", "\\mu": "μ", "\\sigma": "σ",
            "\\epsilon": "ε", "\\delta": "δ", "\\Phi": "Φ"}
_BELOW = ("\\sum", "\\max", "\\min")  # their subscripts lie below


def mathml(tex: str) -> str:
    r"""Return a formula as a `<math>` element.

    Args:
        tex: letters, numbers, signs, Greek names, `_` and `^` with `{}`, and `\frac{a}{b}`,
            `\sqrt{a}`, `\name{word}` (upright), `\sum`, `\max`, `\min`.

    Raises:
        ArgumentError: a brace is missing.

    >>> mathml("x_1^2")
    '<math display="block"><msubsup><mi>x</mi><mn>1</mn><mn>2</mn></msubsup></math>'
    """
    reader = _Reader(tex)
    return f'<math display="block">{reader.row(end=None)}</math>'


class _Reader:
    """Goes through the tokens of a formula once."""

    def __init__(self, tex: str) -> None:
        self.tex, self.tokens = tex, _TOKENS.findall(tex)[::-1]

    def row(self, end: str | None) -> str:
        """Return what comes up to a token."""
        parts = []
        while self.tokens and self.tokens[-1] != end:
            parts.append(self._scripted())
        if end is not None:
            self._expect(end)
        return "".join(parts)

    def _expect(self, token: str) -> None:
        if not self.tokens or self.tokens.pop() != token:
            raise ArgumentError("mathml", f"got {self.tex!r}", f"expected a {token!r} more",
                                "Close every brace.")

    def _group(self) -> str:
        self._expect("{")
        return f"<mrow>{self.row('}')}</mrow>"

    def _script(self) -> str:
        return self._group() if self.tokens and self.tokens[-1] == "{" else self._atom()

    def _scripted(self) -> str:
        sign = self.tokens[-1]
        base, scripts = self._atom(), {}
        while self.tokens and self.tokens[-1] in "_^":
            place = self.tokens.pop()
            scripts[place] = self._script()
        if not scripts:
            return base
        both = ("munder", "mover", "munderover") if sign in _BELOW else ("msub", "msup", "msubsup")
        tag = both[2] if len(scripts) == 2 else both["_^".index(next(iter(scripts)))]
        ordered = "".join(scripts[place] for place in "_^" if place in scripts)
        return f"<{tag}>{base}{ordered}</{tag}>"

    def _atom(self) -> str:
        token = self.tokens.pop() if self.tokens else ""
        if token == "{":
            self.tokens.append(token)
            return self._group()
        if token == "\\frac":
            return f"<mfrac>{self._group()}{self._group()}</mfrac>"
        if token == "\\sqrt":
            return f"<msqrt>{self._group()}</msqrt>"
        if token == "\\,":
            return '<mspace width="0.2em"></mspace>'
        if token == "\\name":
            return f"<mi>{self._word()}</mi>"
        if token in _LETTERS or token.isalpha():
            return f"<mi>{_LETTERS.get(token, token)}</mi>"
        if token[:1].isdigit():
            return f"<mn>{token}</mn>"
        flat = ' stretchy="false"' if token in "()[]|" else ""
        return f"<mo{flat}>{escape(_SIGNS.get(token, token))}</mo>"

    def _word(self) -> str:
        self._expect("{")
        letters = []
        while self.tokens and self.tokens[-1] != "}":
            letters.append(self.tokens.pop())
        self._expect("}")
        return escape("".join(letters))
