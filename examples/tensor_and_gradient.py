"""Tensors and gradients: fit a line to points by hand-written gradient descent.

Run it with: python examples/tensor_and_gradient.py
"""

import numpy as np

import minidl as dl

rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, size=100).astype(np.float32)
y = 3 * x - 2 + 0.1 * rng.standard_normal(100).astype(np.float32)

# A tensor that requires a gradient is a leaf: backward fills its .grad.
slope = dl.Tensor(0.0, requires_grad=True)
offset = dl.Tensor(0.0, requires_grad=True)

for step in range(100):
    prediction = slope * x + offset          # every operation is recorded ...
    loss = ((prediction - y) ** 2).mean()
    loss.backward()                          # ... and walked back from the loss to the leaves
    if step == 0:
        # The same gradient by the definition: move the slope a little, look how the loss moves.
        near = np.mean((1e-3 * x - y) ** 2), np.mean((-1e-3 * x - y) ** 2)
        by_definition = (near[0] - near[1]) / 2e-3
        print(f"gradient by backward {slope.grad.item():.4f}, by definition {by_definition:.4f}")
        if abs(slope.grad.item() - by_definition) > 1e-2:
            raise SystemExit("the two gradients differ")
    for leaf in (slope, offset):
        leaf.assign(leaf.numpy() - 0.3 * leaf.grad.numpy())  # in place, outside the record
        leaf.zero_grad()

print(f"found y = {slope.item():.3f} x {offset.item():+.3f}; the points lie around y = 3 x - 2")
if abs(slope.item() - 3) > 0.1 or abs(offset.item() + 2) > 0.1:
    raise SystemExit("that is not the line")
