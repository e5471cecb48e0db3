"""scikit-learn's digits: 1,797 images of 8 x 8 pixels, ten classes."""

import hashlib

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits

from stages.prepare.tables import Table


def load() -> Table:
    bunch = load_digits()
    pixels = np.ascontiguousarray(bunch.data)
    names = [f"pixel_{i // 8}_{i % 8}" for i in range(64)]
    return Table(
        title="Digits: images of 8 x 8 pixels",
        source="scikit-learn's load_digits; UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak, 1998",
        licence="CC BY 4.0",
        sha256={"pixels as float64": hashlib.sha256(pixels.tobytes()).hexdigest()},
        target="which digit the image shows",
        classes=[str(digit) for digit in bunch.target_names],
        columns=pd.DataFrame(pixels, columns=names),
        descriptions=dict.fromkeys(names, "brightness, 0 to 16"),
        labels=bunch.target.astype(np.int64),
        days=None,
        dropped={},
    )
