"""Workers that live on: a process that does tasks one after the other and keeps what it made.

On a GPU starting costs seconds (CUDA, kernels, cuDNN's trials), and a process that waits disturbs
nobody. So minidl and PyTorch have a process each, for as long as a network is measured, and take
turns. Tasks and answers are lines of JSON.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, Self

from measure import HERE, WorkerError, surroundings

PATIENCE = 900.0  # seconds for a task; compiling a large network takes minutes


class Worker:
    """A process that runs a script beside this file; the script calls `attend`.

    Raises:
        WorkerError: of `ask`, when the task raised, the process ended, or took too long.
    """

    def __init__(self, script: str, env: Mapping[str, str] | None = None) -> None:
        self.script = script
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (see close)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._errors, text=True, env=surroundings(env))
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def ask(self, do: str, patience: float = PATIENCE, **given: Any) -> Any:
        """Return the answer to a task."""
        try:
            print(json.dumps({"do": do, **given}), file=self._stdin, flush=True)
            line = self._answers.get(timeout=patience)
        except queue.Empty:
            self.close()
            raise WorkerError(f"{self.script}, {do}: no answer in {patience:.0f} s") from None
        except (OSError, ValueError):
            line = ""
        if not line:
            code = self._process.wait()
            raise WorkerError(f"{self.script}, {do}: the process ended with {code}\n{self._said()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.script}, {do}: {answer['error']}")
        return answer["value"]

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._stdin, self._process.stdout):
            if pipe is not None:
                with _broken():
                    pipe.close()
        self._errors.close()

    @property
    def _stdin(self) -> Any:
        return self._process.stdin

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._answers.put(line)
        self._answers.put("")

    def _said(self) -> str:
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        return self._errors.read()[-2000:]


class _broken:  # noqa: N801 (used as a function)
    """Let a pipe break: nobody reads its other end any more."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: Any, *error: Any) -> bool:
        return kind is not None and issubclass(kind, OSError)


def attend(tasks: Mapping[str, Callable[..., Any]]) -> None:
    """Be a worker: do the tasks that come, until no more come.

    What libraries print meanwhile goes to stderr.
    """
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            print(json.dumps(answer(tasks, json.loads(line))), file=answers, flush=True)


def answer(tasks: Mapping[str, Callable[..., Any]], task: dict[str, Any]) -> dict[str, Any]:
    """Do a task; return its value, or what went wrong."""
    try:
        return {"value": tasks[task.pop("do")](**task)}
    except Exception as error:
        where = "".join(traceback.format_tb(error.__traceback__)[-3:])
        return {"error": f"{type(error).__name__}: {error}\n{where}"[-3000:]}
