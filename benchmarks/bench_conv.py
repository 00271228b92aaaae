"""Times convolutions against PyTorch: forward and forward with both gradients.

    python benchmarks/bench_conv.py [--rounds 5] [--json FILE]

minidl and PyTorch run in separate processes that take turns, since two thread pools in one process
disturb each other; the figures are medians over the rounds. PyTorch gets the better of its two
memory formats. Nothing else should run meanwhile. Needs `pip install torch`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

# images, height = width, channels, filters, kernel, stride, padding
SHAPES = [
    (64, 32, 64, 64, 3, 1, "same"),
    (64, 16, 128, 128, 3, 1, "same"),
    (64, 8, 256, 256, 3, 1, "same"),
    (64, 16, 64, 64, 3, 1, "same"),
    (64, 32, 32, 64, 3, 1, "same"),
    (64, 28, 1, 32, 3, 1, "valid"),
    (64, 28, 1, 10, 5, 1, "valid"),
    (64, 12, 10, 20, 5, 1, "valid"),
    (32, 16, 64, 128, 3, 1, "same"),
    (64, 16, 256, 64, 1, 1, "valid"),
    (64, 32, 64, 128, 3, 2, "same"),
]
SECONDS = 0.4  # of repetitions per measurement


def median_ms(step: Callable[[], object]) -> float:
    """Return the median time of a call in milliseconds, after two calls to warm up."""
    step(), step()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def arrays(shape: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Return x (N, H, W, C) and w (k, k, C, K)."""
    n, size, c, k, window, _, _ = shape
    rng = np.random.default_rng(0)
    return (rng.standard_normal((n, size, size, c), np.float32),
            rng.standard_normal((window, window, c, k), np.float32))


def minidl_times(shape: tuple) -> dict[str, float]:
    """Time minidl on one shape."""
    from minidl import Tensor, functional, no_grad
    x, w = (Tensor(a, requires_grad=True) for a in arrays(shape))
    stride, padding = shape[5:]

    def both() -> None:
        y = functional.conv2d(x, w, stride=stride, padding=padding)
        x.grad = w.grad = None
        y.backward(ones)

    with no_grad():
        ones = np.ones(functional.conv2d(x, w, stride=stride, padding=padding).shape, np.float32)
        forward = median_ms(lambda: functional.conv2d(x, w, stride=stride, padding=padding))
    return {"forward": forward, "forward+backward": median_ms(both)}


def torch_times(shape: tuple) -> dict[str, float]:
    """Time PyTorch on one shape, the better memory format of each."""
    import torch
    stride, padding = shape[5:]
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x, w = (torch.from_numpy(a) for a in arrays(shape))
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=layout).requires_grad_()
        w = w.permute(3, 2, 0, 1).contiguous(memory_format=layout).requires_grad_()
        total = max((-(-shape[1] // stride) - 1) * stride + shape[4] - shape[1], 0)
        pads = (total // 2, total - total // 2) * 2 if padding == "same" else (0, 0, 0, 0)
        lopsided = pads[0] != pads[1]

        def convolve(x=x, w=w, pads=pads, lopsided=lopsided):
            padded = torch.nn.functional.pad(x, pads) if lopsided else x
            return torch.nn.functional.conv2d(padded, w, stride=stride,
                                              padding=0 if lopsided else pads[0])

        def both(x=x, w=w, convolve=convolve) -> None:
            x.grad = w.grad = None
            y = convolve()
            y.backward(torch.ones_like(y))

        with torch.no_grad():
            forward = median_ms(convolve)
        results.append({"forward": forward, "forward+backward": median_ms(both)})
    return {name: min(r[name] for r in results) for name in results[0]}


def worker(name: str) -> None:
    """Print the times of all shapes as JSON."""
    measure = {"minidl": minidl_times, "torch": torch_times}[name]
    print(json.dumps([measure(shape) for shape in SHAPES]))


def main() -> None:
    """Run the rounds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    parser.add_argument("--worker", choices=["minidl", "torch"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return
    rounds: dict[str, list] = {"minidl": [], "torch": []}
    for _ in range(options.rounds):
        for name, results in rounds.items():
            command = [sys.executable, __file__, "--worker", name]
            done = subprocess.run(command, check=True, capture_output=True)
            results.append(json.loads(done.stdout))
    rows = []
    print(f"{'N, H=W, C, K, kernel, stride, padding':58s} minidl ms  torch ms  torch/minidl")
    for i, shape in enumerate(SHAPES):
        for what in ("forward", "forward+backward"):
            ours, theirs = (statistics.median(r[i][what] for r in rounds[n]) for n in rounds)
            ratio = statistics.median(t[i][what] / m[i][what] for m, t in
                                      zip(rounds["minidl"], rounds["torch"], strict=True))
            rows.append({"shape": shape, "what": what, "minidl_ms": ours, "torch_ms": theirs,
                         "ratio": ratio})
            print(f"{shape!s:40s} {what:18s} {ours:9.2f} {theirs:9.2f} {ratio:10.2f}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
