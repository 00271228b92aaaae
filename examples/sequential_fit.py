"""The short way: layers in a list, compile, fit, evaluate, save.

Run it with: python examples/sequential_fit.py
"""

import tempfile
from pathlib import Path

import numpy as np

import minidl as dl
from minidl import layers

dl.random.seed(0)
(x_train, y_train), (x_test, y_test) = dl.datasets.digits.load_data()

model = dl.Sequential([
    dl.Input((28, 28, 1)),
    layers.Rescaling(1 / 255),
    layers.Conv2D(8, 3, activation="relu"),
    layers.MaxPooling2D(2),
    layers.Conv2D(16, 3, activation="relu"),
    layers.MaxPooling2D(2),
    layers.Flatten(),
    layers.Dense(10, activation="softmax"),
])
model.summary()

model.compile(optimizer=dl.optim.Adam(learning_rate=0.003),
              loss="sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x_train.astype("float32"), y_train, batch_size=50, epochs=2,
                    validation_split=0.1)

images = x_test.astype("float32")
loss, accuracy = model.evaluate(images, y_test, batch_size=500)
print(f"accuracy on {len(y_test)} digits the network has not seen: {accuracy:.3f}")

# A saved model is architecture, weights and optimizer; it answers as before.
with tempfile.TemporaryDirectory() as folder:
    model.save(Path(folder) / "digits")
    again = dl.load_model(Path(folder) / "digits")
same = np.array_equal(again.predict(images[:100]), model.predict(images[:100]))

if accuracy < 0.93 or not same:
    raise SystemExit("expected at least 0.93, and the same answers from the saved model")
