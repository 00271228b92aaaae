"""`minidl train`: an experiment from its recipe to its report."""

from __future__ import annotations

import argparse
import math

from .. import config, recipes
from ..autograd.tensor import Tensor
from ..errors import DeviceError
from ..recipes.run import Result, run


def train(arguments: argparse.Namespace) -> int:
    """Train an experiment, write into its folder, and say how well it did."""
    recipe = recipes.get(arguments.name)
    if arguments.device:
        _check_device(arguments.device)
    out = arguments.out or f"runs/{recipe.name}"
    print(f"{recipe.name} ({recipe.source}) on {recipe.data.name}, threads: {config.num_threads()}")
    resume = True if arguments.resume == "" else arguments.resume or False
    result = run(recipe, out, resume=resume, overwrite=arguments.overwrite,
                 epochs=arguments.epochs, batch_size=arguments.batch_size,
                 learning_rate=arguments.lr, seed=arguments.seed, data=arguments.data,
                 limit=arguments.limit, classes=arguments.classes,
                 checkpoint_every=arguments.checkpoint_every, weights=arguments.weights,
                 device=arguments.device)
    if not result.report:
        return interrupted(recipe.name, out)
    if "members" in result.report:
        print("Test accuracy of the members: "
              + ", ".join(f"{accuracy:.4f}" for accuracy in result.report["members"]))
    print(f"{sentence(result)}\nModel, history and report are in {out}.")
    if not math.isfinite(result.report["test"]["loss"]):
        print("The loss is no longer a number: train again with a smaller --lr.")
    return 0


def _check_device(name: str) -> None:
    try:
        Tensor(0.0).to(name)
    except DeviceError as error:
        raise DeviceError("--device", error.got, error.expected, error.remedy) from None


def interrupted(name: str, out: str) -> int:
    """Say how to go on after Ctrl+C, and return the exit status for it."""
    print(f"Go on with: minidl train {name} --out {out} --resume")
    return 130


def count(number: int, thing: str) -> str:
    """Return a number of things.

    >>> count(1, "epoch"), count(2, "epoch")
    ('1 epoch', '2 epochs')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def sentence(result: Result) -> str:
    """Return the result in a sentence."""
    report = result.report
    if "c" in report:
        return (f"Test accuracy {report['test']['accuracy']:.4f}, loss "
                f"{report['test']['loss']:.4f}; logistic regression with C = {report['c']:g}, "
                f"fitted in {report['seconds']:.1f} s"
                + ("." if report["converged"] else ", not converged."))
    return (f"Test accuracy {report['test']['accuracy']:.4f}, loss {report['test']['loss']:.4f}; "
            f"{report['parameters']:,} parameters; {count(report['epochs'], 'epoch')} in "
            f"{report['seconds']:.1f} s ({report['images_per_second']:,.0f} images/s, "
            f"{report['waiting']:.1%} of the time waiting for data).")
