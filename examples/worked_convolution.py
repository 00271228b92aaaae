"""Convolution and pooling on numbers small enough to follow with a pencil.

Run it with: python examples/worked_convolution.py
"""

import numpy as np

import minidl as dl
from minidl import functional as F  # noqa: N812 (its usual short name)

image = np.array([[7, 2, 3, 3, 8],
                  [4, 5, 3, 8, 4],
                  [3, 3, 2, 8, 4],
                  [2, 8, 7, 2, 7],
                  [5, 4, 4, 5, 4]], np.float32)
kernel = np.array([[1, 0, -1]] * 3, np.float32)  # left column minus right column: vertical edges


def check(name, got, expected):
    """Print a result and stop the program if it is not the expected one."""
    got = np.asarray(got)
    print(f"{name}:\n{got.astype(int)}")
    if not np.array_equal(got, expected):
        raise SystemExit(f"expected\n{np.array(expected)}")


# Images are (N, H, W, C) and kernels (KH, KW, C in, C out), so both get axes of length 1.
x, w = dl.Tensor(image[None, :, :, None]), dl.Tensor(kernel[:, :, None, None])
y = F.conv2d(x, w).numpy()[0, :, :, 0]
first = (7 + 4 + 3) - (3 + 3 + 2)  # the kernel lies over the first three rows and columns
print(f"first position by hand: (7 + 4 + 3) - (3 + 3 + 2) = {first}")
check("5x5 image * 3x3 kernel gives 3x3", y, [[6, -9, -8], [-3, -2, -3], [-3, 0, -2]])

# Padding "same" keeps the size, stride 2 takes every second position.
same = F.conv2d(x, w, padding="same").shape
strided = F.conv2d(x, w, padding="same", stride=2).shape
print(f'padding "same": {same[1:3]}, with stride 2: {strided[1:3]}')
if (same, strided) != ((1, 5, 5, 1), (1, 3, 3, 1)):
    raise SystemExit("output sizes are ceil(size / stride)")

# Max pooling keeps the largest value of each window.
table = np.array([[12, 20, 30, 0],
                  [8, 12, 2, 0],
                  [34, 70, 37, 4],
                  [112, 100, 25, 12]], np.float32)
t = table[None, :, :, None]
check("max pooling, 2x2, stride 2", F.max_pool2d(t, 2)[0, :, :, 0], [[20, 30], [112, 37]])
check("max pooling, 2x2, stride 1", F.max_pool2d(t, 2, stride=1)[0, :, :, 0],
      [[20, 30, 30], [70, 70, 37], [112, 100, 37]])

# A convolution has few weights, because it uses the same ones at every position.
conv = dl.Sequential([dl.Input((5, 5, 1)), dl.layers.Conv2D(1, 3, use_bias=False)])
dense = dl.Sequential([dl.Input((25,)), dl.layers.Dense(9, use_bias=False)])
weights = [conv.count_parameters(), dense.count_parameters()]
check("weights from 5x5 to 3x3, convolution and dense layer", weights, [9, 225])
