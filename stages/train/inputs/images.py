"""Images: block `pixels` (n_rows, height, width, n_channels) uint8."""

import numpy as np
from numpy.typing import NDArray

from stages.common.errors import InputError
from stages.common.features import Features
from stages.train.inputs.forms import Encoder, Inputs, no_places
from stages.train.inputs.signals import OneScale

HOG_SCALE = np.float32(6)  # brings the 36 numbers of a block of length 1 near deviation 1
PACKAGES = {"engineered": ["scikit-image"]}


def raw(features: Features, _: NDArray[np.int64]) -> OneScale:
    return OneScale(features)


def engineered(_: Features, __: NDArray[np.int64]) -> "Gradients":
    return GRADIENTS


class Gradients(Encoder):
    """How strongly brightness changes in each of nine directions, in each cell of a grid over the image, normalised in
    blocks of 2 x 2 cells (Dalal and Triggs 2005); nothing is fitted."""

    def encode(self, features: Features) -> Inputs:
        """Dense. Raises InputError where an image is too small for a block."""
        from skimage.feature import hog  # slow to import

        pixels = features.blocks["pixels"]
        height, width = pixels.shape[1:3]
        cell = max(4, min(height, width) // 7)
        if min(height, width) < 2 * cell:
            raise InputError(f"gradient histograms need images of 8 x 8 pixels or more, not {height} x {width}")
        n_inputs = 9 * 4 * (height // cell - 1) * (width // cell - 1)  # directions, cells of a block, blocks
        found = np.empty((len(features), n_inputs), np.float32)
        for row, image in zip(found, pixels, strict=True):
            row[:] = hog(image, orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(2, 2), channel_axis=2)
        return Inputs(HOG_SCALE * found, no_places(len(features)))


GRADIENTS = Gradients()  # one for all, so that rows of several draws are encoded once
