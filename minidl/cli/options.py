"""The commands and their options."""

from __future__ import annotations

import argparse

from .. import __version__
from .view_options import add_kinds

COMMANDS = {
    "demo": ("demo:demo", "learn handwritten digits in a minute, with pictures"),
    "list": ("show:list_recipes", "the named experiments, their source and their results"),
    "build": ("build:build", "pack the data of an experiment into HDF5 files"),
    "train": ("train:train", "train an experiment"),
    "evaluate": ("use:evaluate", "measure a trained model on its test data"),
    "predict": ("use:predict", "say what is on images"),
    "extract": ("transfer:extract", "write what a network makes of images at a layer into HDF5"),
    "classify": ("transfer:classify", "fit a logistic regression to features, over a grid of C"),
    "inspect": ("inspect:inspect", "number, name, shape and training of a network's layers"),
    "summary": ("show:summary", "the layers of a network, or of an experiment's"),
    "export": ("formats:export", "write a network as an ONNX file for other programs"),
    "import": ("formats:import_", "make a model of a network of ONNX or Keras"),
    "show": ("view:show", "draw a picture of what a network has learned, sees or is"),
    "doctor": ("doctor:doctor", "what works on this machine and what to install"),
}
"""Per command "module:function" of this package, imported when called, and one line of help."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    top = argparse.ArgumentParser(
        prog="minidl", description="A small deep learning engine for convolutional networks.",
        epilog="Begin with: minidl demo")
    top.add_argument("--version", action="version", version=f"minidl {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    added = {}
    for name, (_, text) in COMMANDS.items():
        added[name] = commands.add_parser(name, help=text, description=_sentence(text))
        added[name].add_argument("--debug", action="store_true",
                                 help="show the traceback of an error")
    for name, add in _OPTIONS.items():
        add(added[name])
    return top


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# ---- options by command --------------------------------------------------------------------


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", metavar="DIR", help="folder to write into (runs/demo)")
    command.add_argument("--epochs", type=positive, metavar="N", help="passes over the digits")
    command.add_argument("--seed", type=natural, metavar="N", help="of everything random")
    _limit(command)


def _list(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", nargs="?",
                         help="one of them, with what differs from its source")


def _build(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="an experiment; `minidl list` shows them")
    _data(command)
    command.add_argument("--out", metavar="DIR", required=True,
                         help="folder for train.hdf5, val.hdf5, test.hdf5 and mean.json")
    command.add_argument("--overwrite", action="store_true", help="replace files that are there")
    _limit(command)
    _classes(command)


def _train(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="an experiment; `minidl list` shows them")
    command.add_argument("--epochs", type=positive, metavar="N",
                         help="passes over the training data, those before --resume included")
    command.add_argument("--batch-size", type=positive, metavar="N", help="samples in a step")
    command.add_argument("--lr", type=positive_number, metavar="RATE",
                         help="learning rate; the highest one where the recipe has a schedule by "
                              "epoch; with --resume, that from the checkpoint on")
    command.add_argument("--seed", type=natural, metavar="N", help="of everything random")
    _data(command)
    command.add_argument("--weights", metavar="FILE",
                         help="that the network begins with, where it is a trained one; "
                              "downloaded by default")
    command.add_argument("--out", metavar="DIR", help="folder to write into (runs/NAME)")
    command.add_argument("--resume", nargs="?", const="", metavar="FILE|DIR",
                         help="go on from a checkpoint: a file, the newest one of a folder, or by "
                              "default the newest one of this run")
    command.add_argument("--overwrite", action="store_true",
                         help="replace the run that the folder holds already")
    command.add_argument("--checkpoint-every", type=positive, metavar="N",
                         help="keep a checkpoint of every Nth epoch, to go back to with --resume")
    _limit(command)
    _classes(command)
    command.add_argument("--device", metavar="DEVICE",
                         help="where to compute: cpu, or cuda for a GPU of NVIDIA (cpu)")


def _evaluate(command: argparse.ArgumentParser) -> None:
    _folder(command)
    _data(command)
    _limit(command)
    command.add_argument("--update-batch-norm", type=positive, nargs="?", const=200, metavar="N",
                         help="compute the moving statistics of batch normalisations anew first, "
                              "from N batches of training data (200); the saved model stays as "
                              "it is")
    command.add_argument("--confusion", metavar="FILE",
                         help="draw into this PNG which classes are taken for which")
    command.add_argument("--report", action="store_true",
                         help="print precision, recall and F1 of each class, and write them and "
                              "the confusion matrix into DIR")


def _predict(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="DIR|NETWORK",
                         help="folder that a training wrote; or, with --weights, a network of "
                              "minidl.models such as squeezenet")
    command.add_argument("--weights", metavar="FILE", help="weights of the network, trained on "
                         'ImageNet; "imagenet" downloads published ones')
    command.add_argument("images", nargs="+", metavar="IMAGE", help="PNG, JPEG and the like")


def _extract(command: argparse.ArgumentParser) -> None:
    _network(command)
    command.add_argument("--data", metavar="DIR", required=True,
                         help="folder with a folder of images for each class, or an archive of one")
    command.add_argument("--out", metavar="FILE", required=True, help="HDF5 file to write")
    command.add_argument("--layer", metavar="NAME",
                         help="name or number of the layer, as `minidl inspect` shows them; by "
                              "default what lies before the network's classes")
    command.add_argument("--pooling", choices=("avg", "max"),
                         help="mean or maximum over positions; by default all positions are kept")
    command.add_argument("--labels", choices=("folder", "prefix"), default="folder",
                         help="where the class stands: in the name of the folder, or in that of "
                              "the file, before its first dot")
    command.add_argument("--size", type=positive, metavar="N",
                         help="height and width of the images, where the network takes others "
                              "than its own")
    command.add_argument("--batch-size", type=positive, metavar="N", default=32,
                         help="images in a pass through the network (32)")
    command.add_argument("--seed", type=natural, metavar="N", default=42,
                         help="of the order of the images (42)")
    command.add_argument("--workers", type=natural, metavar="N", default=1,
                         help="threads that decode beside the network (1)")
    command.add_argument("--overwrite", action="store_true",
                         help="replace a file that is there, or an unfinished one made otherwise")
    _limit(command)


def _classify(command: argparse.ArgumentParser) -> None:
    command.add_argument("features", metavar="FILE", help="HDF5 file of `minidl extract`")
    command.add_argument("--out", metavar="DIR", required=True,
                         help="folder for the classifier, its report and confusion matrix")
    command.add_argument("--c", type=positive_numbers, metavar="LIST",
                         help="inverse strengths of the penalty to try, with commas between "
                              "them (0.1,1,10,100,1000,10000)")
    command.add_argument("--jobs", type=int, metavar="N",
                         help="processes that fit at the same time, -1 for one per processor (1)")
    command.add_argument("--test", type=share, metavar="SHARE", default=0.25,
                         help="share of the samples for the test (0.25)")
    command.add_argument("--seed", type=natural, metavar="N", default=42,
                         help="of the division, which has the classes in proportion (42)")
    command.add_argument("--in-order", action="store_true",
                         help="take the last rows for the test, as the book does")
    command.add_argument("--overwrite", action="store_true",
                         help="replace the classifier that the folder holds already")


def _inspect(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME|DIR",
                         help="a network of minidl.models, an experiment, the folder of a run or a "
                              "saved model")
    command.add_argument("--no-top", action="store_true",
                         help="a network of minidl.models without its classes")


def _network(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="NETWORK|DIR",
                         help="a network of minidl.models, the folder of a run or a saved model")
    command.add_argument("--weights", metavar="FILE", help="weights of the network, trained on "
                         'ImageNet; "imagenet" downloads published ones')


def _summary(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME",
                         help="an experiment of `minidl list`, or a network of minidl.models")


def _export(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="DIR|FILE|NAME",
                         help="folder of a training, a saved model, or a network by name")
    command.add_argument("file", metavar="FILE.onnx", help="file to write")
    command.add_argument("--layout", choices=("NCHW", "NHWC"), default="NCHW",
                         help="images with the channels first, as is usual there, or last")


def _import(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", metavar="FILE",
                         help="a network: .onnx, or .keras or .h5 with its architecture")
    command.add_argument("--out", metavar="MODEL", required=True,
                         help="model file to write, MODEL.safetensors")


def _show(command: argparse.ArgumentParser) -> None:
    add_kinds(command, {"natural": natural, "positive": positive, "words": words,
                        "positive_number": positive_number})


def _folder(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="DIR", help="folder that a training wrote")


def _data(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", metavar="DIR",
                         help="folder that holds the data set; by default that of the run, or "
                              "a download where there is one")


def _limit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=positive, metavar="N",
                         help="use N samples of each part only, taken evenly, for a quick try")


def _classes(command: argparse.ArgumentParser) -> None:
    command.add_argument("--classes", type=class_list, metavar="LIST",
                         help="use these classes only: names or numbers with commas between "
                              "them, or how many of the first")


_OPTIONS = {"demo": _demo, "list": _list, "build": _build, "train": _train, "evaluate": _evaluate,
            "predict": _predict, "summary": _summary, "show": _show, "export": _export,
            "import": _import, "extract": _extract, "classify": _classify, "inspect": _inspect}


# ---- types ---------------------------------------------------------------------------------


def natural(text: str) -> int:
    """Return a whole number of at least 0."""
    return _whole(text, 0)


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    return _whole(text, 1)


def _whole(text: str, lowest: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = lowest - 1
    if value < lowest:
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected a whole number of at least {lowest}")
    return value


def class_list(text: str) -> int | list[int | str]:
    """Return a number, or names and numbers of classes.

    >>> class_list("3"), class_list("cat,dog"), class_list("0,7")
    (3, ['cat', 'dog'], [0, 7])
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected names or numbers with commas "
                                         "between them, or a number")
    listed = [int(part) if part.isdecimal() else part for part in parts]
    return listed[0] if len(listed) == 1 and isinstance(listed[0], int) else listed


def words(text: str) -> list[str]:
    """Return words that have commas between them.

    >>> words("conv1, conv2")
    ['conv1', 'conv2']
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected words with commas between them")
    return parts


def positive_numbers(text: str) -> list[float]:
    """Return numbers above 0.

    >>> positive_numbers("0.1,10")
    [0.1, 10.0]
    """
    return [positive_number(part) for part in text.split(",")]


def share(text: str) -> float:
    """Return a number between 0 and 1."""
    value = positive_number(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number between 0 and 1")
    return value


def positive_number(text: str) -> float:
    """Return a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number above 0")
    return value
