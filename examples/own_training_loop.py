"""A network as a class and the training loop written out: every step of learning is visible.

Run it with: python examples/own_training_loop.py
"""

import numpy as np

import minidl as dl
from minidl import functional as F  # noqa: N812 (its usual short name)
from minidl import layers


class Network(dl.Module):
    """A small convolutional network; `forward` is plain Python."""

    def __init__(self):
        super().__init__()
        self.conv1 = layers.Conv2D(8, 3, activation="relu")
        self.conv2 = layers.Conv2D(16, 3, activation="relu")
        self.dense = layers.Dense(10)

    def forward(self, x):
        """Return the logits (N, 10) of images (N, 28, 28, 1)."""
        x = F.max_pool2d(self.conv1(x), 2)  # (N, 13, 13, 8)
        x = F.max_pool2d(self.conv2(x), 2)  # (N, 5, 5, 16)
        return self.dense(F.flatten(x))


def pixels(images):
    """Return uint8 images as float32 in [0, 1]."""
    return images.astype(np.float32) / 255


dl.random.seed(0)  # initial weights
(x_train, y_train), (x_test, y_test) = dl.datasets.digits.load_data()
batches = dl.DataLoader(pixels(x_train), y_train, batch_size=50, shuffle=True, limit=5000)

model = Network()
optimizer = dl.optim.Adam(learning_rate=0.003)

for epoch in range(2):
    total = 0.0
    for x, y in batches:
        loss = F.cross_entropy(model(x), y).mean()  # forward
        loss.backward()                             # gradients into .grad of every parameter
        optimizer.step(model.parameters())          # one step against them
        optimizer.zero_grad(model.parameters())
        total += loss.item()
    print(f"epoch {epoch + 1}: mean loss {total / len(batches):.3f}")

with dl.no_grad():
    predicted = model(pixels(x_test)).numpy().argmax(axis=1)
accuracy = np.mean(predicted == y_test)
print(f"accuracy on {len(y_test)} digits the network has not seen: {accuracy:.3f}")
if accuracy < 0.9:
    raise SystemExit("expected at least 0.9")
