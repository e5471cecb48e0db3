"""The rows of all draws as tensors, and a batch of them as a network's inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.train import params
from stages.train.batched import Bags, Inputs
from stages.train.encoders import Encoder
from stages.train.engineered import HogEncoder
from stages.train.ngrams import N_BUCKETS, buckets_of, marked

CHUNK = 2048  # rows looked at at once: what is made on the way stays in the cache
MOST_EMBEDDED = 128  # numbers; with more of them none is embedded: the first layer sees enough


class Encoded(NamedTuple):
    """Rows as an encoder gives them."""

    dense: NDArray[np.float32]  # (n_rows, n_dense), the first of the inputs
    ones: NDArray[np.int32]  # (n_rows, n_categorical) the inputs that are 1; those between are 0
    letters: NDArray[np.int32]  # (n_rows, width), no columns where there are none
    n_inputs: int


class NetworkEncoder:
    """What a network is given of rows; everything is fitted on the rows of one fit alone.

    Raw: robustly scaled numbers, one-hot categories, pixels. Engineered: words as letters for n-grams, images as
    gradient histograms.
    """

    def __init__(self, features: Features, config: params.Network):
        is_word, is_image = features.letters.shape[1] > 0, features.pixels.shape[1] > 0
        if config.features == "engineered" and not is_word and not is_image:
            raise InputError("networks have no engineered features of tables; set dataset.network_features=raw")
        self.has_ngrams = config.features == "engineered" and is_word
        has_hog = config.features == "engineered" and is_image
        self.encoder: HogEncoder | Encoder = HogEncoder() if has_hog else Encoder(self._dense(features))
        n_numbers = features.numeric.shape[1]
        self.n_embedded = n_numbers if config.frequencies and n_numbers <= MOST_EMBEDDED else 0

    def encoded(self, features: Features) -> Encoded:
        letters = marked(features.letters) if self.has_ngrams else np.empty((len(features), 0))
        if isinstance(self.encoder, HogEncoder):
            dense, ones = self.encoder.matrix(features), np.empty((len(features), 0), np.int32)
            n_inputs = dense.shape[1]
        else:
            dense, ones = self.encoder.compact(self._dense(features))
            n_inputs = self.encoder.n_inputs
        return Encoded(dense, ones, letters.astype(np.int32), n_inputs)

    def _dense(self, features: Features) -> Features:
        """Without the letters where they go another way."""
        return Features(features.numeric, features.categorical) if self.has_ngrams else features


@dataclass(frozen=True)
class Block:
    """The encoded rows of all draws in one tensor; draws with fewer rows are filled up with zeros.

    dense: (n_draws, n_most, n_dense) float32; ones: (n_draws, n_most, n_categorical) int32; n_inputs: of a network,
    whose batches alone are spelt out; y: (n_draws, n_most) int64, n_rows: of each draw; letters: (n_draws, n_most,
    width) int32, no columns where there are none; places: (n_draws, N_BUCKETS) int32 place of each bucket's vector in
    the table of its draw, -1 for those of no fitted row; None where letters are not for n-grams.
    """

    dense: Tensor
    ones: Tensor
    n_inputs: int
    y: Tensor
    n_rows: list[int]
    letters: Tensor
    places: Tensor | None = None

    @classmethod
    def of(cls, encoded: list[Encoded], labels: list[NDArray[np.int64]], n_inputs: int) -> "Block":
        return cls(
            _stacked([rows.dense for rows in encoded], torch.float32),
            _stacked([rows.ones for rows in encoded], torch.int32),
            n_inputs,
            _stacked([np.array(of_draw)[:, None] for of_draw in labels], torch.int64)[:, :, 0],
            [len(rows.dense) for rows in encoded],
            _stacked([rows.letters for rows in encoded], torch.int32),
        )

    def to(self, device: torch.device) -> "Block":
        places = None if self.places is None else self.places.to(device)
        moved = {name: getattr(self, name).to(device) for name in ("dense", "ones", "y", "letters")}
        return replace(self, **moved, places=places)

    def with_places(self, places: Tensor | None) -> "Block":
        return replace(self, places=places)

    def inputs(self, draws: Tensor, rows: Tensor | slice) -> Inputs:
        """Of each model its rows of its draw; draws: (M, 1), rows: (M, B), or draws: (M,) and a slice for all."""
        X, letters = self.dense[draws, rows], self.letters[draws, rows]
        if self.n_inputs > X.shape[2]:
            X = pad(X, (0, self.n_inputs - X.shape[2])).scatter_(2, self.ones[draws, rows].long(), 1.0)
        if not letters.shape[2]:
            return Inputs(X)
        assert self.places is not None
        return Inputs(X, bags_of(letters, self.places[draws.flatten()]))


def bags_of(letters: Tensor, places: Tensor) -> Bags:
    """The n-grams of the words (M, B, width) that have a place: (M, N_BUCKETS), -1 where they have none."""
    codes, are_there = buckets_of(letters.flatten(0, 1).long(), torch.cat)
    n_models, n_rows = letters.shape[:2]
    first = torch.arange(n_models, device=letters.device).repeat_interleave(n_rows)[:, None] * places.shape[1]
    found = places.flatten()[codes + first].long()
    are_known = are_there & (found >= 0)
    return Bags(found[are_known], are_known.sum(dim=1))


def places_of(block: Block) -> Tensor:
    """Of each draw the place of every bucket that its rows' n-grams fall into, in their order: (n_draws, N_BUCKETS)."""
    places = torch.full((len(block.n_rows), N_BUCKETS), -1, dtype=torch.int32)
    for of_draw, letters, n_rows in zip(places, block.letters, block.n_rows, strict=True):
        is_seen = torch.zeros(N_BUCKETS, dtype=torch.bool)
        for chunk in letters[:n_rows].split(CHUNK):
            codes, are_there = buckets_of(chunk.long(), torch.cat)
            is_seen[codes[are_there]] = True
        of_draw[is_seen] = torch.arange(int(is_seen.sum()), dtype=torch.int32)
    return places


def ngrams_of(block: Block) -> list[float]:
    """How many n-grams a fitted row of each draw has in the mean: (n_draws,)."""
    return [
        sum(int(buckets_of(chunk.long(), torch.cat)[1].sum()) for chunk in letters[:n_rows].split(CHUNK)) / n_rows
        for letters, n_rows in zip(block.letters, block.n_rows, strict=True)
    ]


def blocks_of(
    encoders: Sequence[NetworkEncoder], rows: Sequence[tuple[Features, NDArray[np.int64]]], n_inputs: int = 0
) -> Block:
    """One block of all draws' rows and labels, with at least so many inputs."""
    encoded = [encoder.encoded(features) for encoder, (features, _) in zip(encoders, rows, strict=True)]
    widest = max(n_inputs, *(rows_of_draw.n_inputs for rows_of_draw in encoded))
    return Block.of(encoded, [labels for _, labels in rows], widest)


def _stacked(matrices: Sequence[NDArray], dtype: torch.dtype) -> Tensor:
    """(n_draws, n_most, widest), zeros where a draw has fewer rows or columns."""
    stacked = torch.zeros(len(matrices), max(map(len, matrices)), max(m.shape[1] for m in matrices), dtype=dtype)
    for of_draw, matrix in zip(stacked, matrices, strict=True):
        of_draw[: matrix.shape[0], : matrix.shape[1]] = torch.from_numpy(matrix)
    return stacked
