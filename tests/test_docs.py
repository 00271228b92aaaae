"""The code of docs and docstrings runs, prints what is said there, and the site builds.

In a page, a block of ```python is run, all blocks of a page in order and in one namespace. Where a
block of ```output follows, it is what the code prints ("..." stands for anything). Where a block
of ```error follows, the code raises that error; line breaks in its text do not count. A block with
title="PATH" is a file and is written, not run.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import minidl
from minidl import dispatch
from minidl.backend.cpu import cache_folder
from minidl.errors import MinidlError
from minidl.ops import registry
from minidl.ops.update.formulas import UPDATES
from minidl.testing.host_cuda import emulated

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("docs/*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
FENCE = re.compile(r"^```(\w*)(?: title=\"(.+?)\")?\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text("utf-8")
    return [Block(m[1], m[2], m[3], text.count("\n", 0, m.start()) + 2)
            for m in FENCE.finditer(text)]


def run(block: Block, page: Path, names: dict[str, Any]) -> tuple[str, str]:
    """Run a block; return what it printed, and the error of minidl that it raised."""
    code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(code, names)
    except MinidlError as error:
        return printed.getvalue(), f"{type(error).__name__}: {error}"
    return printed.getvalue(), ""


def agree(shown: str, got: str) -> bool:
    """Say whether output is as shown; "..." stands for anything, spaces at line ends count not."""
    return _match(shown, got, r"(\.\.\.)") is not None


def nearly_agree(shown: str, got: str) -> bool:
    """Say whether output is as shown, decimal fractions within a tenth of their value, or of 1."""
    found = _match(shown, got, rf"(\.\.\.|{NUMBER})")
    pairs = zip(re.findall(NUMBER, shown), found.groups(), strict=True) if found else ()
    return found is not None and all(
        math.isclose(float(a), float(b), rel_tol=0.1, abs_tol=0.1) for a, b in pairs)


NUMBER = r"-?\d+\.\d+"


def _match(shown: str, got: str, special: str) -> re.Match[str] | None:
    parts = re.split(special, _bare(shown))
    pattern = "".join(re.escape(part) if i % 2 == 0 else ".*?" if part == "..." else f"({NUMBER})"
                      for i, part in enumerate(parts))
    return re.fullmatch(pattern, _bare(got), re.S)


def _bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


COMPARE = {"output": agree, "about": nearly_agree}


@pytest.fixture
def clean_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to work in; afterwards no op, hook or imported file of a page is left."""
    known, modules = {op.name for op in registry.ops()}, set(sys.modules)
    monkeypatch.chdir(tmp_path)
    folders = [*minidl.ops.__path__, str(tmp_path / "minidl/ops")]
    monkeypatch.setattr(minidl.ops, "__path__", folders)
    minidl.random.seed(0)
    yield tmp_path
    for op in registry.ops():
        if op.name not in known:
            registry.forget(op.name)
            UPDATES.pop(op.name, None)
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    dispatch._hooks.set(())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_of_a_page_runs(page: Path, clean_room: Path) -> None:
    names: dict[str, Any] = {"__name__": "page"}
    found = blocks(page)
    with PLACES.get(page.name, contextlib.nullcontext)():
        for block, after in zip(found, [*found[1:], None], strict=True):
            if block.title is not None:
                write(clean_room / block.title, block.text)
            elif block.language == "python":
                check(page, block, after, *run(block, page, names))


PLACES = {"gpu.md": lambda: emulated(cache_folder() / "host_cuda")}
"""Where the code of a page runs, if not on the CPU."""


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def check(page: Path, block: Block, after: Block | None, printed: str, error: str) -> None:
    place = f"{page.name}:{block.line}"
    if after is not None and after.language == "error":
        assert error, f"{place} raised nothing"
        shown, got = (re.sub(r"(?<!\.)\.$", "", " ".join(t.split())) for t in (after.text, error))
        assert agree(shown, got), f"{place}: {error}"
        return
    assert not error, f"{place}: {error}"
    if after is not None and after.language in COMPARE:
        assert COMPARE[after.language](after.text, printed), f"{place} printed:\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_fence_is_a_block(page: Path) -> None:
    fences = re.findall(r"^\s*```", page.read_text("utf-8"), re.M)
    assert len(fences) == 2 * len(blocks(page)), "a fence is indented, open or has other options"


@pytest.mark.parametrize(("shown", "got", "same"), [
    ("a\nb\n", "a  \nb\n\n", True), ("a ... z\n", "a b c z\n", True),
    ("a\n", "b\n", False), ("a\n", "a\nb\n", False), ("0.5\n", "", False)])
def test_output_is_compared(shown: str, got: str, same: bool) -> None:
    assert agree(shown, got) == same


@pytest.mark.parametrize(("shown", "got", "same"), [
    ("loss 1.38 in 3\n", "loss 1.45 in 3\n", True), ("0.80 a\n", "0.95 a\n", False),
    ("loss 1.38 in 3\n", "loss 1.38 in 4\n", False), ("0.5 0.5\n", "0.5\n", False),
    ("loss nan\n", "loss 0.5\n", False), ("... s  0.50 a\n", "1.5 s  0.52 a\n", True)])
def test_figures_are_compared(shown: str, got: str, same: bool) -> None:
    assert nearly_agree(shown, got) == same


# ---- docstrings ----------------------------------------------------------------------------

MODULES = sorted(path.relative_to(ROOT) for path in ROOT.glob("minidl/**/*.py"))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_public_names_have_docstrings(path: Path) -> None:
    source = (ROOT / path).read_text("utf-8")
    assert not [name for name, node in documented(ast.parse(source)) if not ast.get_docstring(node)]


def documented(tree: ast.Module) -> Iterator[tuple[str, Any]]:
    """Yield a module and its public classes, functions and methods; an empty module has nothing."""
    if tree.body:
        yield "module", tree
    pending: list[Any] = [tree]
    while pending:
        for part in pending.pop().body:
            if isinstance(part, (ast.ClassDef, ast.FunctionDef)) and is_public(part):
                yield part.name, part
                pending += [part] if isinstance(part, ast.ClassDef) else []


def is_public(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """Say whether a name is a user's; a property's setter shares the property's docstring."""
    setter = any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list)
    return not node.name.startswith("_") and not setter


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_examples_in_docstrings_run(path: Path, clean_room: Path) -> None:
    if path.name == "__main__.py":
        pytest.skip("runs the command line when it is imported")
    module = importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    failed, _ = doctest.testmod(module)
    assert not failed


# ---- the site ------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built in strict mode: an unknown link or a missing docstring target fails."""
    pytest.importorskip("mkdocs", reason="mkdocs builds the docs; it is in the extra 'test'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet",
                           "--site-dir", str(folder)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_site_shows_every_public_name(site: Path) -> None:
    pages = "".join(path.read_text("utf-8") for path in sorted(site.glob("api/*.html")))
    shown = {found.rpartition(".")[2] for found in re.findall(r'id="(minidl\.[\w.]+)"', pages)}
    assert sorted(set(public_names()) - shown) == []
    assert 'class="gp"' in pages and "<blockquote>" not in pages  # examples are set as code


def public_names() -> Iterator[str]:
    """Yield the names that `minidl` has, and those of its modules that list theirs."""
    for place in minidl._PLACES.values():
        module, _, attribute = place.partition(":")
        listed = getattr(importlib.import_module(f"minidl.{module}"), "__all__", ())
        yield from [attribute] if attribute else listed


def test_site_holds_every_op(site: Path) -> None:
    page = (site / "ops.html").read_text("utf-8")
    assert not [op.name for op in registry.ops() if f">{op.name}</code>" not in page]
    assert "<!--" not in re.sub(r"<!--\[if.*?-->", "", page, flags=re.S).partition("<main")[2]


def test_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loading = re.compile(r"<(?:script|img|link)\b[^>]*(?:src|href)=\"(https?:)?//[^\"]*\"")
    for path in sorted(site.rglob("*.html")):
        assert not loading.search(path.read_text("utf-8")), path
