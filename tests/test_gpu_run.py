"""The benchmarks of a GPU: workers that live on, the run within a budget, and its summary."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minidl.models.zoo import ENTRIES

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import gpu_summary  # noqa: E402
from measure import WorkerError  # noqa: E402
from test_gpu_benchmarks import MACHINE, op_row, row  # noqa: E402
from workers import Worker  # noqa: E402

# ---- processes -----------------------------------------------------------------------------

SCRIPT = """
import os, time
from workers import attend
kept = []
def add(x):
    print("a library says something")
    kept.append(x)
    return sum(kept)
attend({"add": add, "fail": lambda: 1 / 0, "die": lambda: os._exit(7),
        "sleep": lambda: time.sleep(60)})
"""


@pytest.fixture
def worker(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with Worker(str(script), {"PYTHONPATH": str(FOLDER)}) as made:
        yield made


def test_a_worker_keeps_what_it_made(worker):
    assert [worker.ask("add", x=2), worker.ask("add", x=3)] == [2, 5]
    with pytest.raises(WorkerError, match="fail: ZeroDivisionError"):
        worker.ask("fail")
    assert worker.ask("add", x=1) == 6


def test_a_worker_that_ends(worker):
    with pytest.raises(WorkerError, match="die: the process ended with 7"):
        worker.ask("die")
    with pytest.raises(WorkerError, match="ended"):
        worker.ask("add", x=1)


def test_a_worker_that_takes_too_long(worker):
    with pytest.raises(WorkerError, match="no answer in 0 s"):
        worker.ask("sleep", patience=0.2)


# ---- the summary ---------------------------------------------------------------------------


def test_the_summary_of_a_folder(tmp_path):
    def write(name, value):
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        (tmp_path / f"{name}.done").touch()
    write("machine", MACHINE)
    write("small.one", {"rows": [row()]})
    write("ops.1", {"ops": [op_row()]})
    launch = {"op": "conv2d", "variant": "mma", "call": "x", "kernel": "k", "grid": [4, 2, 1, 128],
              "us": 3.0, "bytes": 100, "flops": 200}
    write("profile.one", {"profile": {"network": "one", "batch": 8, "step_ms": 0.5,
                                      "launches": [launch, launch]}})
    (tmp_path / "big.cut.json").write_text('{"rows": [')
    (tmp_path / "big.cut.log").write_text("begin\nout of memory\n")
    (tmp_path / "tests.log").write_text("..F\n==== 1 failed, 2 passed in 3s ====\n")
    page = gpu_summary.page(tmp_path)
    for text in ("NVIDIA H100, driver 580.1", "1 failed, 2 passed in 3s", "## Small networks",
                 "1 of 1 at least level", "| conv2d | 64x32x32x64 | mma* |", "4x2 | 128",
                 "`big.cut`: out of memory", "| 6.00 | 100% | conv2d (mma) | 1 | 2 |"):
        assert text in page, text
    assert "Large networks" not in page


# ---- the run within a budget ---------------------------------------------------------------

FAKE = """#!/bin/sh
case "$*" in
    *gpu_summary*) exec "{python}" "$@" ;;
    *gpu_machine*) echo '{{"broken' >"$2" ;;
    *mnist_convnet*) echo "no such thing"; exit 3 ;;
    *lab_cifar*) exec sleep 60 ;;
    *) echo "ran $*" ;;
esac
"""
needs_bash = pytest.mark.skipif(not all(map(shutil.which, ("bash", "timeout", "tar"))),
                                reason="no bash, timeout or tar")


@pytest.fixture
def run_gpu(tmp_path):
    fake = tmp_path / "python"
    fake.write_text(FAKE.format(python=sys.executable))
    fake.chmod(0o755)

    def begin(*arguments, **env):
        return subprocess.Popen(
            ["bash", str(FOLDER / "run_gpu.sh"), str(tmp_path / "out"), *arguments],
            env={**os.environ, "PYTHON": str(fake), **env}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True)
    return begin


@needs_bash
def test_the_order_of_the_jobs(run_gpu, tmp_path):
    text, _ = run_gpu("30", "--dry-run").communicate()
    jobs = [line.split()[1].rstrip(":") for line in text.splitlines() if "at most" in line]
    wanted = ("machine", "tests", "small.lecture_mnist", "small_compile.lecture_mnist",
              "big.resnet50", "small_bf16.lecture_mnist", "large.resnet_cifar", "ops.1",
              "profile.resnet_cifar")
    assert [job for job in jobs if job in wanted] == list(wanted)
    assert len(jobs) == len(set(jobs)) > 70
    named = {job.partition(".")[2] for job in jobs if job.split(".")[0] in ("small", "big", "more")}
    assert named == set(ENTRIES)
    assert not (tmp_path / "out" / "summary.md").exists()
    only, _ = run_gpu("30", "--dry-run", "--only", "^(machine|large.*)$").communicate()
    assert only.count("at most") == 9


@needs_bash
@pytest.mark.parametrize("arguments", [(), ("x",), ("1", "--what"), ("1", "--only")])
def test_wrong_arguments(arguments, run_gpu):
    process = run_gpu(*arguments)
    text, _ = process.communicate()
    assert process.returncode != 0
    assert "OUT_DIR MINUTES" in text or "regular expression" in text


@needs_bash
def test_the_budget(run_gpu, tmp_path):
    out = tmp_path / "out"
    process = run_gpu("1", "--only", "^(machine|small[.].*)$", RESERVE="40", LEAST="2")
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    for line in ("machine: done in", "small.lecture_mnist: done", "small.lab_cifar: cut off",
                 "small.resnet_cifar: not run, no time left", "end"):
        assert line in text, line
    assert re.search(r"mnist_convnet: failed [(]3[)] after \d+ s: no such thing", text), text
    assert text == (out / "progress.txt").read_text()
    assert "`small.mnist_convnet`: no such thing" in (out / "summary.md").read_text()
    assert "ran " in (out / "each" / "small.lecture_mnist.log").read_text()
    assert (out / "results.tar.gz").stat().st_size > 100
    again, _ = run_gpu("1", "--only", "^small[.].*mnist", RESERVE="30").communicate(timeout=120)
    assert "small.lecture_mnist: there already" in again and "mnist_convnet: failed" in again


@needs_bash
def test_a_run_that_is_ended(run_gpu, tmp_path):
    process = run_gpu("5", "--only", "^small[.]lab_cifar$")
    log = tmp_path / "out" / "each" / "small.lab_cifar.log"
    for _ in range(200):
        if log.exists():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 143 and text.splitlines()[-1].endswith("end")
    assert "`small.lab_cifar`: printed nothing" in (tmp_path / "out" / "summary.md").read_text()


@needs_bash
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_shellcheck():
    done = subprocess.run(["shellcheck", str(FOLDER / "run_gpu.sh")], capture_output=True,
                          text=True, check=False)
    assert not done.returncode, done.stdout
