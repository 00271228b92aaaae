"""What a network that was trained on ImageNet sees on photos.

Run it with: python examples/pretrained.py NETWORK FILE IMAGE|DIR ...

NETWORK is squeezenet, efficientnet_lite0, vgg16 or resnet50, FILE its weights as Keras, PyTorch or
Caffe's users publish them; "imagenet" downloads them. Where file names end in the class's number,
such as photo_243.jpg, right answers are counted. `python benchmarks/fetch_weights.py DEST` gets
weights of the first two, and 20 such photos. Without arguments nothing but the names is checked.
"""

import re
import sys
from pathlib import Path

import numpy as np

import minidl as dl
from minidl.models import imagenet
from minidl.models.pretrained import Pretrained

SURE = {"squeezenet": (12, 19), "efficientnet_lite0": (17, 20)}  # of the 20 photos: top-1, top-5


def classify(network, file, paths):
    """Return the probabilities (N, 1000) of images."""
    entry = dl.models.zoo.ENTRIES[network]
    trained = Pretrained.find(network, file)  # also says which origin's scaling is due
    model = entry.build(weights=trained).eval()
    photos = dl.data.ImageFiles(paths, entry.input_shape[:2], "crop",
                                interpolation=imagenet.INTERPOLATION)[:]
    origin = trained.origin.name if trained.origin else None
    return model(imagenet.preprocess_input(photos, network, origin)).numpy()


def count(network, paths, probabilities):
    """Count the right answers where names say them; stop if they are too few."""
    known = [re.search(r"_(\d+)\.\w+$", path) for path in paths]
    if not all(known):
        return
    labels = np.array([int(found[1]) for found in known])
    ranks = [round(len(paths) * r) for r in dl.metrics.rank_accuracy(labels, probabilities)]
    print(f"{network}: {ranks[0]}/{len(paths)} right, {ranks[1]}/{len(paths)} among the first five")
    if len(paths) == 20 and any(r < s for r, s in zip(ranks, SURE.get(network, (0, 0)),
                                                      strict=True)):
        raise SystemExit(f"expected at least {SURE[network]}")


if len(sys.argv) > 3:
    named = [Path(argument) for argument in sys.argv[3:]]
    images = sorted(str(p) for n in named for p in (n.glob("*.jpg") if n.is_dir() else [n]))
    said = classify(sys.argv[1], sys.argv[2], images)
    for image, classes in zip(images, imagenet.decode_predictions(said, top=3), strict=True):
        print(f"{image}: " + ", ".join(f"{name} {p:.2f}" for _, name, p in classes))
    count(sys.argv[1], images, said)
else:
    print(__doc__)
    best = imagenet.decode_predictions(np.eye(1000)[[243]], top=1)[0][0]
    print("class 243:", best)
    if best != ("n02108422", "bull mastiff", 1.0):
        raise SystemExit("expected a bull mastiff")
