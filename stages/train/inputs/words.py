"""Words: block `letters` (n_rows, n_letters) uint16, code points, 0 after the word's end."""

import numpy as np
from numpy.typing import NDArray

from stages.common.features import Features
from stages.train.inputs.categories import Categories
from stages.train.inputs.forms import Bags, Encoder, Inputs, no_numbers, no_places

FIRST, LAST = 12, 6  # letters from the start and from the end that are categories of their own
LONGEST = 4  # letters of the longest n-gram
BITS = 17  # of a bucket's number: 131,072 buckets
START, END = 1, 2  # the marks before the first and after the last letter
FACTOR = 0x9E3779B97F4A7C15 - (1 << 64)  # odd, 2^64 over the golden ratio, as a signed number: Knuth's hashing
AT_ONCE = 65_536  # rows


def raw(features: Features, _: NDArray[np.int64]) -> "Letters":
    return Letters(features)


def engineered(_: Features, __: NDArray[np.int64]) -> "Ngrams":
    return NGRAMS


class Letters(Encoder):
    """The letter at each of the first and of the last places, one-hot."""

    def __init__(self, features: Features):
        self.categories = Categories(_codes(features))

    def encode(self, features: Features) -> Inputs:
        places = self.categories.places(_codes(features))
        return Inputs(no_numbers(len(features)), places, self.categories.n_places, is_even=True)


def _codes(features: Features) -> NDArray[np.int32]:
    letters = np.asarray(features.blocks["letters"])
    lengths = (letters != 0).sum(axis=1)[:, None]
    from_end = lengths - 1 - np.arange(min(LAST, letters.shape[1]))
    last = np.where(from_end >= 0, np.take_along_axis(letters, np.maximum(from_end, 0), axis=1), 0)
    return np.concatenate([letters[:, :FIRST], last], axis=1).astype(np.int32)


class Ngrams(Encoder):
    """Hashed character n-grams, with marks at start and end (Weinberger et al. 2009); nothing is fitted."""

    def encode(self, features: Features) -> Inputs:
        """Bags: of a word first its letters in their order, then its pairs, and so on."""
        letters, n_rows = features.blocks["letters"], len(features)
        codes, n_each = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        for start in range(0, n_rows, AT_ONCE):
            buckets, are_there = buckets_of(marked(letters[start : start + AT_ONCE]))
            codes.append(buckets[are_there].astype(np.int32))
            n_each.append(are_there.sum(axis=1))
        bags = Bags(np.concatenate(codes), np.concatenate(n_each), 1 << BITS)
        return Inputs(no_numbers(n_rows), no_places(n_rows), bags=bags, is_even=True)


NGRAMS = Ngrams()  # one for all, so that rows of several draws are encoded once


def buckets_of(letters: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Bucket of every n-gram of 1 to 4 letters, and which of them are there: (n_words, n_places) each.

    letters: (n_words, width), with the marks added by `marked`. Sums and products of 64 bits wrap around.
    """
    codes, are_there = [], []
    width = letters.shape[1]
    hashes = letters * 0
    for n in range(1, LONGEST + 1):
        hashes = (hashes[:, : width - n + 1] + letters[:, n - 1 :]) * FACTOR
        hashes = hashes ^ (hashes >> 29)
        codes.append((hashes >> (63 - BITS)) & ((1 << BITS) - 1))
        are_there.append(letters[:, n - 1 :] != 0)
    return np.concatenate(codes, axis=1), np.concatenate(are_there, axis=1)


def marked(letters: NDArray[np.uint16]) -> NDArray[np.int64]:
    """START before and END after every word: (n_words, width) -> (n_words, width + 2)."""
    n_words, width = letters.shape
    padded = np.zeros((n_words, width + 2), np.int64)
    padded[:, 0] = START
    padded[:, 1:-1] = letters
    lengths = (np.asarray(letters) != 0).sum(axis=1)
    padded[np.arange(n_words), lengths + 1] = END
    return padded
