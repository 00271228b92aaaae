"""Functions of tensors, one per op; each records itself for backward.

Arrays and numbers may stand where tensors are expected; a number takes the other side's type. The
functions lie in a module per chapter; this one has them all.
"""

from __future__ import annotations

from .activations import (
    add_relu,
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    softplus,
    tanh,
)
from .arguments import astype
from .arithmetic import (
    abs,
    add,
    clip,
    copy,
    divide,
    equal,
    exp,
    greater,
    greater_equal,
    less,
    less_equal,
    log,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    power,
    sign,
    sqrt,
    square,
    subtract,
    where,
)
from .lookup import (
    embedding,
    one_hot,
)
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    mse,
    nll,
)
from .normalisation import (
    batch_norm,
    batch_norm_inference,
    batch_norm_inference_relu,
    batch_norm_relu,
    dropout,
    group_norm,
    layer_norm,
    local_response_norm,
)
from .reductions import (
    argmax,
    global_average_pool,
    global_max_pool,
    max,
    mean,
    min,
    sum,
    var,
)
from .shapes import (
    affine_warp,
    broadcast_to,
    concat,
    flatten,
    flip,
    getitem,
    pad,
    reshape,
    split,
    stack,
    transpose,
)
from .windows import (
    average_pool1d,
    average_pool2d,
    conv1d,
    conv1d_relu,
    conv1d_transpose,
    conv2d,
    conv2d_add,
    conv2d_relu,
    conv2d_relu6,
    conv2d_transpose,
    linear,
    linear_relu,
    matmul,
    max_pool1d,
    max_pool2d,
)

__all__ = ["abs", "add", "add_relu", "affine_warp", "argmax", "astype", "average_pool1d",
           "average_pool2d", "batch_norm", "batch_norm_inference", "batch_norm_inference_relu",
           "batch_norm_relu", "binary_cross_entropy", "binary_cross_entropy_with_logits",
           "broadcast_to", "clip", "concat", "conv1d", "conv1d_relu", "conv1d_transpose", "conv2d",
           "conv2d_add", "conv2d_relu", "conv2d_relu6", "conv2d_transpose", "copy", "cross_entropy",
           "divide", "dropout", "elu", "embedding", "equal", "exp", "flatten", "flip", "gelu",
           "getitem", "global_average_pool", "global_max_pool", "greater", "greater_equal",
           "group_norm", "layer_norm", "leaky_relu", "less", "less_equal", "linear", "linear_relu",
           "local_response_norm", "log", "log_softmax", "logical_and", "logical_not", "logical_or",
           "matmul", "max", "max_pool1d", "max_pool2d", "maximum", "mean", "min", "minimum", "mse",
           "multiply", "negative", "nll", "not_equal", "one_hot", "pad", "power", "relu", "reshape",
           "sigmoid", "sign", "softmax", "softplus", "split", "sqrt", "square", "stack", "subtract",
           "sum", "tanh", "transpose", "var", "where"]
