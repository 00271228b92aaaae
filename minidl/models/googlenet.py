"""GoogLeNet: Inception v1 for images of 224 x 224, nine modules."""

from __future__ import annotations

from functools import partial

from ..nn import Input, Model, Symbol
from ..nn.layers import (
    AveragePooling2D,
    Dense,
    Dropout,
    Flatten,
    LocalResponseNormalization,
    MaxPooling2D,
)
from .blocks import conv_module, inception_modules, softmax_head
from .blocks.modules import ACT

_conv = partial(conv_module, order=ACT)
_modules = partial(inception_modules, reg=0.0, order=ACT)
_pool = partial(MaxPooling2D, 3, 2, "same")


def googlenet(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000,
              auxiliary: bool = False) -> Model:
    """Return the network: images (N, 224, 224, 3) to probabilities (N, classes).

    As in the paper: convolutions with bias and relu, local response normalisation after the first
    pool and before the second, no batch normalisation (that came with the next version), dropout
    0.4. The paper leaves initial values and the constants of the normalisation open; here they are
    minidl's defaults. Nodes have the book's names. 6,998,552 parameters; 13,378,280 with the
    auxiliary classifiers.

    Args:
        auxiliary: return [probabilities, those of the classifier on 4a, those of the one on 4d];
            the paper adds their losses, times 0.3, in training.

    Source: Szegedy et al. 2014, table 1 and section 5.

    >>> googlenet().count_parameters()
    6998552
    """
    x = Input(input_shape)
    y = _pool(name="pool3")(_modules(_stem(x), "3a", "3b"))           # (14, 14, 480)
    early = _modules(y, "4a")
    late = _modules(early, "4b", "4c", "4d")
    y = _pool(name="pool4")(_modules(late, "4e"))                     # (7, 7, 832)
    y = AveragePooling2D(7, 1, name="pool5")(_modules(y, "5a", "5b"))  # (1, 1, 1024)
    y = Flatten(name="flatten")(Dropout(0.4, name="do")(y))
    y = softmax_head(y, classes)
    if auxiliary:
        y = [y, _auxiliary(early, classes, "aux_4a"), _auxiliary(late, classes, "aux_4d")]
    return Model(x, y, name="googlenet")


def _stem(x: Symbol) -> Symbol:
    """Return maps (28, 28, 192) of an image (224, 224, 3)."""
    y = _pool(name="pool1")(_conv(x, 64, 7, 2, 3, name="block1"))
    y = LocalResponseNormalization(name="norm1")(y)
    y = _conv(_conv(y, 64, 1, name="block2"), 192, 3, name="block3")
    return _pool(name="pool2")(LocalResponseNormalization(name="norm2")(y))


def _auxiliary(x: Symbol, classes: int, name: str) -> Symbol:
    """Return the class probabilities of an auxiliary classifier on maps (14, 14, C)."""
    y = AveragePooling2D(5, 3, name=f"{name}_pool")(x)  # (4, 4, C)
    y = Flatten(name=f"{name}_flatten")(_conv(y, 128, 1, name=name))
    y = Dense(1024, activation="relu", name=f"{name}_dense")(y)
    y = Dropout(0.7, name=f"{name}_do")(y)
    return Dense(classes, activation="softmax", name=f"{name}_labels")(y)
