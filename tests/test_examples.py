"""Every example runs, is short, and notices when its number is wrong."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "examples").glob("*.py"))

SABOTAGE = {  # a mistake per example that must end it with an error
    "custom_op": ("y + sigmoid * (1 - y)", "y + sigmoid * y"),
    "own_training_loop": ("in range(2)", "in range(0)"),
    "pretrained": ("[[243]]", "[[244]]"),
    "sequential_fit": ("epochs=2", "epochs=0"),
    "tensor_and_gradient": ("leaf.zero_grad()", "pass"),
    "worked_convolution": ("[[1, 0, -1]]", "[[-1, 0, 1]]"),
}


def run(path):
    """Run a script as a user would, with warnings as errors."""
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.run([sys.executable, "-W", "error", str(path)], capture_output=True,
                          text=True, check=False, timeout=300,
                          env={**os.environ, "PYTHONPATH": search})


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_examples_run_and_print(path, tmp_path):
    done = run(path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) >= 2


@pytest.mark.parametrize("name", SABOTAGE)
def test_a_mistake_is_noticed(name, tmp_path):
    text = (ROOT / "examples" / f"{name}.py").read_text("utf-8")
    old, new = SABOTAGE[name]
    assert text.count(old) == 1
    wrong = tmp_path / f"{name}.py"
    wrong.write_text(text.replace(old, new), "utf-8")
    done = run(wrong)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_examples_are_short_and_say_what_they_teach(path):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= 60
    assert f"python examples/{path.name}" in ast.get_docstring(ast.parse(text))
    assert path.stem in SABOTAGE
