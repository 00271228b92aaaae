"""What the build of the docs adds to the pages: tables made from the package, colours of code.

A line `<!-- NAME -->` of a page, NAME being in `TABLES`, is replaced by what the function returns.
Nothing generated lies in the repository.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mkdocs.structure.files import File, Files
from pygments.formatters import HtmlFormatter

from minidl import ops as _filled  # noqa: F401  (importing it fills the op table)
from minidl import recipes
from minidl.autograd import functional
from minidl.cli.show import result_text, training_text
from minidl.models.zoo import ENTRIES, Entry
from minidl.ops import registry
from minidl.ops.registry import Op

# ---- hooks that mkdocs calls ---------------------------------------------------------------


def on_files(files: Files, *, config: Any) -> Files:
    """Add the style sheet that colours code."""
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    files.append(File.generated(config, "css/code.css", content=colours))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables in the places of their names."""
    return re.sub(r"^<!-- ([a-z ]+) -->$", lambda found: _table(found[1]), markdown, flags=re.M)


def _table(name: str) -> str:
    if name not in TABLES:
        raise ValueError(f"<!-- {name} -->: there are {', '.join(TABLES)}")
    return TABLES[name]()


# ---- ops -----------------------------------------------------------------------------------


def user_ops() -> str:
    """Return the table of the ops that a function of `minidl.functional` calls."""
    return _op_table(op for op in registry.ops() if hasattr(functional, op.name))


def inner_ops() -> str:
    """Return the table of the other ops: gradient rules and optimizers call them."""
    return _op_table(op for op in registry.ops() if not hasattr(functional, op.name))


def _op_table(ops: Iterable[Op]) -> str:
    head = ("Op", "Result", "Inputs", "Gradients", "Variants", "Counts")
    return _rows(head, ((_name(op), _result(op), _inputs(op), _gradients(op), _variants(op),
                         "yes" if op.flops else "-") for op in ops))


def _name(op: Op) -> str:
    if not hasattr(functional, op.name):
        return f"`{op.name}`"
    return f"[`{op.name}`][minidl.autograd.functional.{op.name}]"


def _result(op: Op) -> str:
    """Return the op's formula as code, else what its function says it returns, else its text."""
    first = " ".join(op.doc.strip().partition("\n\n")[0].split()).rstrip(".")
    formula = re.match(r"[a-z]\w* = .*?[(<*].*?(?=, inputs| where |[:;]|$)", first)
    if formula:
        return f"`{formula[0]}`{first[formula.end():]}"
    if "\n" in op.doc.strip() and hasattr(functional, op.name):
        function = getattr(functional, op.name)
        return function.__doc__.partition("\n")[0].removeprefix("Return ").rstrip(".")
    return first


def _inputs(op: Op) -> str:
    names = [f"{name} (optional)" if name in op.optional else name for name in op.inputs]
    return ", ".join(names) + (" (any number)" if op.variadic else "")


def _gradients(op: Op) -> str:
    return ", ".join(op.gradients) or "-"


def _variants(op: Op) -> str:
    return "view" if op.view else ", ".join(kernel.name for kernel in op.kernels)


def op_texts() -> str:
    """Return the full text of every op whose doc is more than a line."""
    texts: dict[str, list[str]] = {}
    for op in registry.ops():
        text = inspect.cleandoc(op.doc)
        if "\n" in text:
            texts.setdefault(text, []).append(op.name)
    ordered = sorted(texts.items(), key=lambda item: item[1])
    return "\n\n".join(f"### {', '.join(names)}\n\n```text\n{text}\n```" for text, names in ordered)


# ---- recipes -------------------------------------------------------------------------------


def recipe_table() -> str:
    """Return the table of the recipes, with the results printed in the source and measured here."""
    head = ("Recipe", "Source", "Data", "Parameters", "Training", "Printed there", "Measured here")
    measured = recipes.results()
    return _rows(head, (_recipe(recipes.get(name), measured.get(name)) for name in recipes.names()))


def _recipe(recipe: recipes.Recipe, measured: dict[str, Any] | None) -> tuple[str, ...]:
    return (f"`{recipe.name}`", recipe.source, recipe.data.name,
            f"{recipe.model().count_parameters():,}", training_text(recipe), recipe.printed,
            _measured(measured))


def _measured(result: dict[str, Any] | None) -> str:
    return result_text(result) if result else "-"


def recipe_notes() -> str:
    """Return what differs from the source, where something does, as a list."""
    names: dict[str, list[str]] = {}
    for recipe in map(recipes.get, recipes.names()):
        names.setdefault(recipe.notes, []).append(f"`{recipe.name}`")
    return "\n".join(f"- {', '.join(found)}: {notes}" for notes, found in names.items() if notes)


# ---- networks ------------------------------------------------------------------------------


def network_table() -> str:
    """Return the table of the zoo."""
    head = ("Network", "Source", "Input", "Classes", "Parameters", "Trained there by", "Batch",
            "Loss")
    return _rows(head, map(_network, ENTRIES.values()))


def _network(entry: Entry) -> tuple[str, ...]:
    shape = " x ".join(map(str, entry.input_shape))
    return (f"[`{entry.name}`][minidl.models.{entry.name}]", entry.source, shape,
            str(entry.classes), f"{entry.parameters:,}", _training(dict(entry.optimizer)),
            str(entry.batch), entry.loss.replace("_", " "))


def _training(settings: dict[str, Any]) -> str:
    """Return an optimizer's settings in words."""
    start = f"{settings.pop('name')} {settings.pop('learning_rate'):g}"
    rest = [key if value is True else f"{key.replace('_', ' ')} {value:g}"
            for key, value in settings.items() if value]
    return ", ".join([start, *rest])


# ---- Markdown ------------------------------------------------------------------------------


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
                     for line in lines)


TABLES: dict[str, Callable[[], str]] = {
    "user ops": user_ops, "inner ops": inner_ops, "op texts": op_texts, "recipes": recipe_table,
    "recipe notes": recipe_notes, "networks": network_table}
"""What a page can ask for, by name."""
