"""Heat maps over photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import displayable, new_figure, picture_axes, unit_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 2.9  # inches: the longer side of a picture
COLOURS = "inferno"
"""Even steps of lightness, which all people see alike."""
LEAST, MOST = 0.15, 0.8  # how much a cold and a hot place hide of the photo
GREY = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R BT.601)


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a map (h, w) in another size (H, W), smooth between the middles of its pixels.

    >>> resized(np.array([[0.0, 1.0]]), (1, 4)).round(1).tolist()
    [[0.0, 0.2, 0.8, 1.0]]
    """
    from PIL import Image

    picture = Image.fromarray(values.astype(np.float32))  # one float per pixel: mode F
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))


def photo_of(where: str, image: np.ndarray) -> np.ndarray:
    """Return an image as red, green and blue in [0, 1]: (H, W, 3)."""
    picture = displayable(where, image)
    picture = picture / 255 if picture.dtype == np.uint8 else unit_range(picture)
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def see_through(reverse: bool = False) -> Any:
    """Return the colour map of heat over a photo: the colder, the more of the photo is seen.

    Args:
        reverse: let low values be hot.
    """
    import matplotlib
    from matplotlib.colors import ListedColormap

    heat = np.linspace(0, 1, 256)
    colours = matplotlib.colormaps[COLOURS](heat)
    colours[:, 3] = LEAST + (MOST - LEAST) * heat
    return ListedColormap(colours[::-1] if reverse else colours)


def heat_figure(where: str, shown: np.ndarray, values: np.ndarray, title: str, label: str,
                limits: tuple[float, float], mixed: bool = True, reverse: bool = False) -> Figure:
    """Draw a photo, and beside it a heat map, with a colour bar.

    Args:
        shown: the photo (H, W, C).
        values: the map (h, w); resized to the photo.
        title: of the whole.
        label: of the colour bar.
        limits: values of the darkest and of the brightest colour.
        mixed: lay the map over the photo in grey; else it stands alone, pixel by pixel.
        reverse: let low values be hot, where the map lies over the photo.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    photo = photo_of(where, shown)
    height, width = (SIDE * n / max(photo.shape[:2]) for n in photo.shape[:2])
    figure = new_figure(2 * max(width, 1.6) + 1.1, height + 0.5 + 0.2 * title.count("\n"), title)
    left, right = picture_axes(figure, 1, 2, 2)
    left.imshow(photo)
    scale = Normalize(limits[0], limits[1] if limits[1] > limits[0] else limits[0] + 1)
    colours: Any = see_through(reverse) if mixed else COLOURS
    if mixed:
        right.imshow(photo @ GREY, cmap="gray", vmin=0, vmax=1)
        values = resized(values, photo.shape[:2])
    right.imshow(values, cmap=colours, norm=scale, interpolation="nearest")
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=right, shrink=0.9, pad=0.03)
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.set_facecolor("0.5")  # seen through the cold colours, as a photo would be
    return figure


def photo(image: np.ndarray, shown: Any) -> np.ndarray:
    """Return what is drawn: the image as people see it where it is given, else as the model does.
    """
    return image if shown is None else np.asarray(shown)
