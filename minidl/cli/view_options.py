"""The kinds of pictures of `minidl show`, and their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple


class Kind(NamedTuple):
    """A picture that `minidl show` draws.

    Attributes:
        text: what is on it, for the help and for the line that names the file.
        options: names in `OPTIONS`.
        image: whether it is of a network and an image.
        file: what is written, and how its name ends.
    """

    text: str
    options: tuple[str, ...] = ()
    image: bool = False
    file: tuple[str, str] = ("a PNG, SVG or PDF", "png")


KINDS = {
    "filters": Kind("the filters of a convolution",
                    ("layer", "style", "channel", "count", "weights")),
    "maps": Kind("what layers make of an image", ("layers", "first", "count", "weights"), True),
    "pattern": Kind("images that excite filters most, by gradient ascent",
                    ("layer", "filters", "count", "steps", "seed", "weights")),
    "cam": Kind("where a class is seen, by the weights of the last layer", ("label", "weights"),
                True),
    "gradcam": Kind("where a layer sees what speaks for a class",
                    ("label", "layer", "weights"), True),
    "saliency": Kind("how much the score of a class changes with each pixel",
                     ("label", "samples", "noise", "seed", "weights"), True),
    "occlusion": Kind("how probable a class stays under a grey square",
                      ("label", "size", "stride", "weights"), True),
    "lecture": Kind("a page that walks through a network layer by layer on an image, and back",
                    ("label", "channels", "megabytes", "weights"), True,
                    ("an HTML file", "html")),
    "mistakes": Kind("the wrongly classified test images of the highest loss",
                     ("data", "limit", "count")),
    "confusion": Kind("which classes are taken for which on the test data", ("data", "limit")),
    "curves": Kind("loss and metrics during training"),
    "graph": Kind("the layers and how they are connected", ("columns", "weights")),
}

MODEL = "a folder that `minidl train` wrote, a saved model, a network of minidl.models with " \
        "--weights, or an experiment of `minidl list`"


RUN = "a folder that `minidl train` wrote"


def add_kinds(command: argparse.ArgumentParser, types: dict[str, Callable[[str], Any]]) -> None:
    """Give the command `show` its kinds and their options.

    Args:
        types: what turns words into "natural" and "positive" numbers, and "words" into a list.
    """
    kinds = command.add_subparsers(dest="kind", metavar="KIND", required=True)
    known = _options(types)
    for name, kind in KINDS.items():
        one = kinds.add_parser(name, help=kind.text,
                               description=f"Draw {kind.text}, into {kind.file[0]}.")
        one.add_argument("model", metavar="MODEL", help=MODEL if "weights" in kind.options else RUN)
        if kind.image:
            one.add_argument("image", metavar="IMAGE", nargs="?",
                             help="PNG, JPEG and the like, prepared as in training")
            one.add_argument("--sample", type=types["natural"], metavar="N",
                             help="take the test sample of this number of a run, from 0")
            one.add_argument("--range", type=float, nargs=2, metavar=("LOW", "HIGH"),
                             help="input values of black and white, for a saved model that does "
                                  "not lie in its run's folder (0 1)")
        for option in (*kind.options, "title"):
            flags, settings = known[option]
            one.add_argument(flags, **{"dest": option, **settings})
        if kind.image:
            one.add_argument("--data", metavar="DIR", help="folder of the data, for --sample")
        default = f"{name}.{kind.file[1]}"
        one.add_argument("--out", metavar="FILE", default=default,
                         help=f"{kind.file[0]} to write ({default})")
        if kind.file[1] == "png":
            one.add_argument("--dpi", type=types["positive"], metavar="N",
                             help="dots per inch of a PNG")
        one.add_argument("--debug", action="store_true", help="show the traceback of an error")


def _options(types: dict[str, Callable[[str], Any]]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return flag and settings of each option."""
    natural, positive, words = types["natural"], types["positive"], types["words"]

    def number(flag: str, text: str, kind: Any = positive) -> tuple[str, dict[str, Any]]:
        return flag, {"type": kind, "metavar": "N", "help": text}

    return {
        "layer": ("--layer", {"metavar": "NAME", "help": "layer by its name in the summary; "
                              "by default the first (filters, pattern) or last (gradcam)"}),
        "layers": ("--layers", {"type": words, "metavar": "NAMES",
                                "help": "layers, with commas between them"}),
        "first": number("--first", "the first N layers"),
        "style": ("--style", {"choices": ("symmetric", "normalised"), "default": "symmetric",
                              "help": "one scale for all, 0 in white; or each for itself, in "
                              "grey"}),
        "channel": number("--channel", "input channel, from 0", natural),
        "channels": number("--channels", "show at most N channels of each layer, the strongest"),
        "megabytes": ("--megabytes", {"type": types["positive_number"], "metavar": "N", "help":
                                      "leave channels out until the page is about this large "
                                      "(5; 15 for images above 100 x 100)"}),
        "filters": ("--filters", {"type": words, "metavar": "LIST",
                                  "help": "numbers, with commas between them"}),
        "count": number("--count", "show at most N of them"),
        "columns": number("--columns", "fold a long graph into N columns"),
        "steps": number("--steps", "of the ascent (40)"),
        "seed": number("--seed", "of the noise", natural),
        "label": ("--class", {"metavar": "CLASS", "help": "name or number; the likeliest by "
                              "default"}),
        "samples": number("--samples", "mean over N noisy copies (1: the image as it is)"),
        "noise": ("--noise", {"type": float, "metavar": "SHARE", "help": "of the copies: standard "
                              "deviation as a share of the image's range (0.15)"}),
        "size": number("--size", "side of the square in pixels (a quarter of the image)"),
        "stride": number("--stride", "from one place to the next (a quarter of the square)"),
        "data": ("--data", {"metavar": "DIR", "help": "folder of the data, if it is another now"}),
        "limit": number("--limit", "use N test samples only, taken evenly"),
        "weights": ("--weights", {"metavar": "FILE", "help": "of a network of minidl.models: "
                                  "a file, or a word such as imagenet"}),
        "title": ("--title", {"metavar": "TEXT", "help": "over the picture"}),
    }
