"""scikit-learn's digits: 1,797 images of 8 x 8 pixels, ten classes."""

import hashlib

import numpy as np

from stages.common.errors import InputError
from stages.common.features import Features
from stages.contract.dataset import Column
from stages.prepare.params import Source
from stages.prepare.tables import Table

SHA256 = "20def7f70a702f0af9732fbba4375e147a7d54fe70d8c45569b8e7c1c7010c10"  # of the pixels as float64


def load(_: Source) -> Table:
    from sklearn.datasets import load_digits  # its import takes a second, which composing does without

    bunch = load_digits()
    pixels = np.ascontiguousarray(bunch.data)
    found = hashlib.sha256(pixels.tobytes()).hexdigest()
    if found != SHA256:
        raise InputError(f"scikit-learn's digits have sha256 {found[:12]}..., not {SHA256[:12]}...; reinstall it")
    return Table(
        title="Digits: images of 8 x 8 pixels",
        source="scikit-learn's load_digits; UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak, 1998",
        licence="CC BY 4.0",
        sha256={"pixels as float64": SHA256},
        target="which digit the image shows",
        classes=[str(digit) for digit in bunch.target_names],
        features=Features("images", {"pixels": pixels.reshape(-1, 8, 8, 1).astype(np.uint8)}),
        columns=[Column(name="image", kind="pixels", description="8 x 8, brightness from 0 to 16", missing=0)],
        labels=bunch.target.astype(np.int64),
        n_read=len(pixels),
    )
