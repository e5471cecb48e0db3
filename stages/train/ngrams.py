"""Hashed character n-grams of words, the same for arrays of numpy and tensors of torch."""

from typing import Any

import numpy as np

MOST = 4  # letters of the longest n-gram
BITS = 17  # of a bucket's number: 131,072 buckets
N_BUCKETS = 1 << BITS
START, END = 1, 2  # the marks before the first and after the last letter
FACTOR = 0x9E3779B97F4A7C15 - (1 << 64)  # odd, 2^64 over the golden ratio, as a signed number: Knuth's hashing


def buckets_of(letters: Any, concatenate: Any) -> tuple[Any, Any]:
    """Bucket of every n-gram of 1 to 4 letters, and which of them are there: (n_words, n_places) each.

    letters: (n_words, width) int64 code points, 0 after the word's end, with the marks added by `marked`; concatenate:
    numpy's or torch's, along axis 1. Sums and products of 64 bits wrap around.
    """
    codes, are_there = [], []
    width = letters.shape[1]
    hashes = letters * 0
    for n in range(1, MOST + 1):
        hashes = (hashes[:, : width - n + 1] + letters[:, n - 1 :]) * FACTOR
        hashes = hashes ^ (hashes >> 29)
        codes.append((hashes >> (63 - BITS)) & (N_BUCKETS - 1))
        are_there.append(letters[:, n - 1 :] != 0)
    return concatenate(codes, 1), concatenate(are_there, 1)


def marked(letters: Any) -> np.ndarray:
    """START before and END after every word: (n_words, width) uint16 -> (n_words, width + 2) int64."""
    n_words, width = letters.shape
    found = np.zeros((n_words, width + 2), np.int64)
    found[:, 0] = START
    found[:, 1:-1] = letters
    lengths = (np.asarray(letters) != 0).sum(axis=1)
    found[np.arange(n_words), lengths + 1] = END
    return found
