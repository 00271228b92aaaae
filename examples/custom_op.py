"""An op of your own: its value, its shape and its gradient, in a few lines.

The op is the swish activation, y = x sigmoid(x) (Ramachandran et al. 2017).
Run it with: python examples/custom_op.py
"""

import numpy as np

import minidl as dl


def swish_kernel(x, out, saved, work):
    """Write the result into the buffer that the engine hands over."""
    np.divide(x, 1 + np.exp(-x), out=out)


def swish_gradient(run, gy, x, y):
    """Chain rule: dy/dx = y + sigmoid(x) (1 - y). The argument names say what is kept."""
    sigmoid = 1 / (1 + np.exp(-x))
    return gy * (y + sigmoid * (1 - y))


dl.define_op(
    "swish", inputs=["x"], kernel=swish_kernel, gradients={"x": swish_gradient},
    infer=lambda x: x,  # the result has the shape and type of x
    reference=lambda x: x / (1 + np.exp(-x)),
    doc="y = x sigmoid(x)")

x = dl.Tensor(np.linspace(-4, 4, 9), requires_grad=True)  # float64, to see small differences
y = dl.apply("swish", x)
y.sum().backward()

step = 1e-6
by_definition = (dl.apply("swish", dl.Tensor(x.numpy() + step)).numpy()
                 - dl.apply("swish", dl.Tensor(x.numpy() - step)).numpy()) / (2 * step)
error = np.abs(x.grad.numpy() - by_definition).max()

print("x       ", np.round(x.numpy(), 3))
print("swish(x)", np.round(y.numpy(), 3))
print("gradient", np.round(x.grad.numpy(), 3))
print(f"largest difference from the gradient by definition: {error:.1e}")
if error > 1e-8:
    raise SystemExit("the gradient rule is wrong")
