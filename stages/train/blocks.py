"""The rows of all draws as tensors, and a batch of them as a network's inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.common.artefacts import Features
from stages.common.errors import InputError
from stages.train import params
from stages.train.batched import Bags, Inputs
from stages.train.encoders import RARE, RobustEncoder
from stages.train.engineered import HogEncoder
from stages.train.ngrams import END, N_BUCKETS, START, buckets_of, marked

CHUNK = 8192  # rows looked at at once
MOST_EMBEDDED = 128  # numbers; with more of them none is embedded: the first layer sees enough
Encoded = tuple[NDArray[np.float32], NDArray[np.int32]]  # inputs, letters


class NetworkEncoder:
    """What a network is given of rows; everything is fitted on the rows of one fit alone.

    Raw: robustly scaled numbers, one-hot categories, pixels. Engineered: words as letters for n-grams, images as
    gradient histograms. With filters: words as letters, each its place in the vocabulary of the fitted rows.
    """

    def __init__(self, features: Features, config: params.Network):
        self.has_filters = config.filters is not None
        is_word, is_image = features.letters.shape[1] > 0, features.pixels.shape[1] > 0
        if self.has_filters and not is_word:
            raise InputError("filters go over the letters of words, and these data have none; leave this learner out")
        if config.features == "engineered" and not is_word and not is_image:
            raise InputError("networks have no engineered features of tables; set dataset.network_features=raw")
        self.has_ngrams = config.features == "engineered" and is_word
        has_hog = config.features == "engineered" and is_image
        self.encoder = HogEncoder() if has_hog else RobustEncoder(self._dense(features))
        n_numbers = features.numeric.shape[1]
        self.n_embedded = n_numbers if config.frequencies and n_numbers <= MOST_EMBEDDED else 0
        if self.has_filters:
            letters, counts = np.unique(features.letters, return_counts=True)
            self.vocabulary = np.append([START, END], letters[(counts >= RARE) & (letters > 0)])  # ascending

    @property
    def n_letters(self) -> int:
        """Places in the vocabulary; the first for no letter, the last for letters that were rare or never seen."""
        return len(self.vocabulary) + 2 if self.has_filters else 0

    def encoded(self, features: Features) -> Encoded:
        """(n_rows, n_inputs) float32 and (n_rows, width) int32, no columns where there are no letters."""
        if self.has_ngrams:
            letters = marked(features.letters)
        elif self.has_filters:
            letters = self._places(marked(features.letters))
        else:
            letters = np.empty((len(features), 0))
        return self.encoder.matrix(self._dense(features)), letters.astype(np.int32)

    def _dense(self, features: Features) -> Features:
        """Without the letters where they go another way."""
        is_apart = self.has_ngrams or self.has_filters
        return Features(features.numeric, features.categorical) if is_apart else features

    def _places(self, letters: NDArray[np.int64]) -> NDArray[np.int64]:
        place = np.searchsorted(self.vocabulary, letters)
        is_known = np.isin(letters, self.vocabulary)
        return np.where(letters == 0, 0, np.where(is_known, place + 1, len(self.vocabulary) + 1))


@dataclass(frozen=True)
class Block:
    """The encoded rows of all draws in one tensor; draws with fewer rows are filled up with zeros.

    X: (n_draws, n_most, n_inputs) float32, y: (n_draws, n_most) int64, n_rows: of each draw; letters: (n_draws, n_most,
    width) int32, no columns where there are none; places: (n_draws, N_BUCKETS) int32 place of each bucket's vector in
    the table of its draw, -1 for those of no fitted row; None where letters are not for n-grams.
    """

    X: Tensor
    y: Tensor
    n_rows: list[int]
    letters: Tensor
    places: Tensor | None = None

    @classmethod
    def of(cls, encoded: list[Encoded], labels: list[NDArray[np.int64]], n_inputs: int) -> "Block":
        matrices, words = [matrix for matrix, _ in encoded], [letters for _, letters in encoded]
        n_rows = [len(matrix) for matrix in matrices]
        letters = torch.zeros(len(words), max(n_rows), words[0].shape[1], dtype=torch.int32)
        for of_draw, of_words in zip(letters, words, strict=True):
            of_draw[: len(of_words)] = torch.from_numpy(of_words)
        X = torch.zeros(len(matrices), max(n_rows), n_inputs)
        y = torch.zeros(len(matrices), max(n_rows), dtype=torch.int64)
        for i, (matrix, label) in enumerate(zip(matrices, labels, strict=True)):
            X[i, : len(matrix), : matrix.shape[1]] = torch.from_numpy(matrix)
            y[i, : len(label)] = torch.from_numpy(np.array(label))
        return cls(X, y, n_rows, letters)

    def to(self, device: torch.device) -> "Block":
        places = None if self.places is None else self.places.to(device)
        return Block(self.X.to(device), self.y.to(device), self.n_rows, self.letters.to(device), places)

    def with_places(self, places: Tensor | None) -> "Block":
        return replace(self, places=places)

    def inputs(self, draws: Tensor, rows: Tensor | slice) -> Inputs:
        """Of each model its rows of its draw; draws: (M, 1), rows: (M, B), or draws: (M,) and a slice for all."""
        X, letters = self.X[draws, rows], self.letters[draws, rows]
        if not letters.shape[2]:
            return Inputs(X)
        if self.places is None:
            return Inputs(X, letters=letters.long())
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


def blocks_of(
    encoders: Sequence[NetworkEncoder], rows: Sequence[tuple[Features, NDArray[np.int64]]], n_inputs: int = 0
) -> Block:
    """One block of all draws' rows and labels, with at least so many inputs."""
    encoded = [encoder.encoded(features) for encoder, (features, _) in zip(encoders, rows, strict=True)]
    widest = max(n_inputs, *(matrix.shape[1] for matrix, _ in encoded), 0)
    return Block.of(encoded, [labels for _, labels in rows], widest)
