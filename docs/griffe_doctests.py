"""Reading docstrings for the API pages: examples (">>>") become blocks of code."""

from __future__ import annotations

from typing import Any

from griffe import Extension, Object


class Doctests(Extension):
    """Puts a fence around the examples in every docstring, before they are read as Markdown."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change a docstring as it is found."""
        if obj.docstring is not None and ">>> " in obj.docstring.value:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return the text with a fence around each example, which ends at an empty line."""
    lines: list[str] = []
    inside, indent = False, ""
    for line in [*text.splitlines(), ""]:
        begins = line.lstrip().startswith(">>> ")
        if begins and not inside:
            inside, indent = True, line[:len(line) - len(line.lstrip())]
            lines.append(f"{indent}```pycon")
        elif inside and not line.strip():
            inside = False
            lines.append(f"{indent}```")
        lines.append(line)
    return "\n".join(lines[:-1])
