r"""What layers compute: a formula, and what its letters mean, per view and per activation."""

from __future__ import annotations

from .mathml import mathml

_CONVOLUTION = ("p, q: row and column of the output; k: its channel; i, j: row and column in the "
                "kernel; c: channel of the input; s: step; d: dilation; t, l: rows and columns of "
                "zeros put before the input; w: the kernel, b: the bias")
_CHANNELS = "p, q: row and column; c: channel"

VIEWS: dict[str, tuple[str, str]] = {
    "input": ("", ""),
    "conv": (r"z_{p,q,k} = \sum_{i,j,c} x_{s p + d i - t, s q + d j - l, c} \, "
             r"w_{i,j,c,k} + b_k", _CONVOLUTION),
    "conv_transpose": (r"z_{s p + d i - t, s q + d j - l, k} = \sum_{p,q,i,j,c} x_{p,q,c} \, "
                       r"w_{i,j,k,c} + b_k",
                       _CONVOLUTION.replace("of the output; k: its channel",
                                            "of the input; k: channel of the output")
                       .replace("put before the input", "cut off the output")),
    "dense": (r"z_k = \sum_{i} x_i \, w_{i,k} + b_k",
              "i: feature of the input; k: unit; w: the weights, b: the bias"),
    "max_pool": (r"y_{p,q,c} = \max_{i,j} x_{s p + i - t, s q + j - l, c}",
                 "i, j: row and column in the window; s: step; " + _CHANNELS),
    "average_pool": (r"y_{p,q,c} = \frac{1}{n} \sum_{i,j} x_{s p + i - t, s q + j - l, c}",
                     "i, j: row and column in the window; n: how many of its elements lie in the "
                     "input; s: step; " + _CHANNELS),
    "global_max": (r"y_c = \max_{p,q} x_{p,q,c}", _CHANNELS),
    "global_average": (r"y_c = \frac{1}{H W} \sum_{p,q} x_{p,q,c}",
                       _CHANNELS + "; H, W: rows and columns"),
    "batch_norm": (r"z_{p,q,c} = \gamma_c \frac{x_{p,q,c} - \mu_c}{\sqrt{\sigma_c^2 + \epsilon}}"
                   r" + \beta_c",
                   "μ, σ²: moving mean and variance of the channel, from training; γ, β: learned "
                   "scale and offset; " + _CHANNELS),
    "layer_norm": (r"y_c = \gamma_c \frac{x_c - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta_c",
                   "μ, σ²: mean and variance of all channels at this place; γ, β: learned scale "
                   "and offset"),
    "group_norm": (r"y_{p,q,c} = \gamma_c \frac{x_{p,q,c} - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}}"
                   r" + \beta_c",
                   "μ, σ²: mean and variance of the group g of channels, over all places; γ, β: "
                   "learned scale and offset; " + _CHANNELS),
    "lrn": (r"y_c = \frac{x_c}{(\name{bias} + \alpha \sum_{|k - c| \le r} x_k^2)^{\beta}}",
            "k: channels at most r away from channel c, at the same place"),
    "softmax": (r"y_k = \frac{e^{x_k}}{\sum_j e^{x_j}}", "k, j: classes, or channels"),
    "log_softmax": (r"y_k = x_k - \name{log} \sum_j e^{x_j}", "k, j: classes, or channels"),
    "activation": (r"y = f(x)", "element by element"),
    "add": (r"y = f(a + b + \name{...})", "element by element"),
    "subtract": (r"y = a - b", "element by element"),
    "multiply": (r"y = a \odot b", "element by element"),
    "average": (r"y = \frac{1}{n} (a + b + \name{...})", "element by element; n: inputs"),
    "maximum": (r"y = \max (a, b, \name{...})", "element by element"),
    "minimum": (r"y = \min (a, b, \name{...})", "element by element"),
    "divide": (r"y = \frac{a}{b}", "element by element"),
    "power": (r"y = a^b", "element by element"),
    "rescale": (r"y_c = x_c \cdot \name{scale}_c + \name{offset}_c", _CHANNELS),
    "concat": (r"y = [a, b, \name{...}]", "the inputs one after another along an axis"),
    "flatten": (r"y_{(p W + q) C + c} = x_{p,q,c}",
                "row by row, in a row place by place, at a place channel by channel"),
    "reshape": (r"y_n = x_n", "n: number of the element, counted through; only the shape changes"),
    "permute": (r"y_{\name{axes in another order}} = x_{p,q,c}", "nothing is computed"),
    "pad": (r"y_{p,q,c} = x_{p - t, q - l, c}",
            "outside the input: 0; t, l: rows and columns of zeros put before it"),
    "same": (r"y = x", "in use nothing is changed"),
    "embedding": (r"y_{n,c} = E_{x_n, c}", "E: the table; its row of number x is the output"),
}
"""Formula in the notation of `mathml`, and the meaning of the letters, by view."""

ACTIVATIONS: dict[str, str] = {
    "linear": "",
    "relu": r"f(z) = \max (z, 0)",
    "sigmoid": r"f(z) = \frac{1}{1 + e^{-z}}",
    "tanh": r"f(z) = \name{tanh}(z)",
    "softmax": r"f(z)_k = \frac{e^{z_k}}{\sum_j e^{z_j}}",
    "log_softmax": r"f(z)_k = z_k - \name{log} \sum_j e^{z_j}",
    "elu": r"f(z) = z, \, z \ge 0; \, \alpha (e^z - 1), \, z < 0",
    "leaky_relu": r"f(z) = z, \, z \ge 0; \, \alpha z, \, z < 0",
    "softplus": r"f(z) = \name{log}(1 + e^z)",
    "gelu": r"f(z) = z \, \Phi(z)",
    "silu": r"f(z) = \frac{z}{1 + e^{-z}}",
    "relu6": r"f(z) = \min (\max (z, 0), 6)",
    "exp": r"f(z) = e^z",
    "relu_general": r"f(z) = \min (z, \name{max}), \, z \ge \name{threshold}; \, "
                    r"\alpha (z - \name{threshold}), \, z < \name{threshold}",
}
"""Formulas by activation; one that is not here is shown by its name alone."""


def formulas(view: str, activation: str | None) -> tuple[list[str], str]:
    """Return the MathML of a view and of its activation, and what the letters mean.

    >>> formulas("same", None)[1]
    'in use nothing is changed'
    """
    tex, letters = VIEWS.get(view, ("", ""))
    both = (tex, ACTIVATIONS.get(activation or "", ""))
    if activation not in (None, "linear") and view in ("conv", "conv_transpose", "dense",
                                                       "batch_norm"):
        both = (tex, "y = " + both[1] if both[1] else "y = f(z)")
    return [mathml(part) for part in both if part], letters
