"""The encoded rows of all draws as tensors, and batches of them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from stages.train.inputs.forms import Bags, Inputs
from stages.train.network.bags import BatchOfBags
from stages.train.network.layers import Batch

CHUNK = 2048  # rows looked at at once: what is made on the way stays in the cache
LOOK = 10  # steps between two looks at the held-out rows, at least
UNSEEN = -1
MOST_SPELT_OUT = 2**26  # inputs of all draws' rows, 256 MB, up to which they are spelt out once and not for each batch


@dataclass(frozen=True)
class BagBlock:
    """The bags of all draws. codes: (n_codes,) int32, one row after the other, draw by draw; starts, n_each: (n_draws,
    n_most) int64, where each row's codes begin and how many there are."""

    codes: Tensor
    starts: Tensor
    n_each: Tensor

    def of(self, draws: Tensor, rows: Tensor | slice) -> BatchOfBags:
        n_each = self.n_each[draws, rows].flatten()
        firsts = self.starts[draws, rows].flatten() - (n_each.cumsum(0) - n_each)
        places = torch.repeat_interleave(firsts, n_each)
        places += torch.arange(len(places), device=places.device)
        return BatchOfBags(self.codes[places].long(), n_each)


@dataclass(frozen=True)
class Block:
    """The encoded rows of all draws in one tensor; draws with fewer rows are filled up with zeros.

    dense: (n_draws, n_most, n_dense) float32; ones: (n_draws, n_most, n_columns) int32, the inputs that are 1 where
    these are not among the dense ones, spelt out in batches alone; n_inputs: of a network; y: (n_draws, n_most) int64;
    n_rows: of each draw.
    """

    dense: Tensor
    ones: Tensor
    n_inputs: int
    y: Tensor
    n_rows: list[int]
    bags: BagBlock | None = None

    def to(self, device: torch.device) -> "Block":
        moved = {name: getattr(self, name).to(device) for name in ("dense", "ones", "y")}
        if self.bags is not None:
            moved["bags"] = BagBlock(*(getattr(self.bags, name).to(device) for name in ("codes", "starts", "n_each")))
        return replace(self, **moved)

    def batch(self, draws: Tensor, rows: Tensor | slice) -> Batch:
        """Of each model its rows of its draw; draws: (M, 1), rows: (M, B), or draws: (M,) and a slice for all."""
        X = self._rows(self.dense, draws, rows)
        if self.n_inputs > X.shape[2]:
            X = pad(X, (0, self.n_inputs - X.shape[2]))
            X.scatter_(2, self._rows(self.ones, draws, rows).long(), 1.0)
        return Batch(X, None if self.bags is None else self.bags.of(draws, rows))

    @staticmethod
    def _rows(values: Tensor, draws: Tensor, rows: Tensor | slice) -> Tensor:
        """values[draws, rows], whole rows at a time, which is ten times as fast."""
        if isinstance(rows, slice):
            return values[draws, rows]
        places = draws * values.shape[1] + rows
        return values.flatten(0, 1).index_select(0, places.flatten()).view(*rows.shape, -1)

    def labels(self, draws: Tensor, rows: Tensor) -> Tensor:
        """Shape: as `batch`, (M, B)."""
        return self._rows(self.y[..., None], draws, rows)[..., 0]

    def mean_codes(self) -> list[float]:
        """How many codes a row's bag has in the mean, of each draw."""
        if self.bags is None:
            return [0.0] * len(self.n_rows)
        return [int(n_each.sum()) / n for n_each, n in zip(self.bags.n_each, self.n_rows, strict=True)]


@dataclass(frozen=True)
class Vectors:
    """Which positions of bags have a vector: those of the rows that a network is fitted on, in their order.

    places: of each draw (n_positions,) int32, place of each position's vector, UNSEEN for those without.
    """

    places: list[NDArray[np.int32]]

    @classmethod
    def of(cls, inputs: Sequence[Inputs]) -> "Vectors | None":
        """None where the rows have no bags."""
        bags = [rows.bags for rows in inputs if rows.bags is not None]
        return cls([_places(of_draw) for of_draw in bags]) if bags else None

    @property
    def n_most(self) -> int:
        return 1 + max(int(places.max()) for places in self.places)

    def block(self, bags: Sequence[Bags], draws: Sequence[int]) -> BagBlock:
        """Without the codes that have no vector; draws: which of `places` each bag is by."""
        found = [self.places[draw][of.codes] for draw, of in zip(draws, bags, strict=True)]
        counts = [
            np.bincount(np.repeat(np.arange(len(of.n_each)), of.n_each)[codes != UNSEEN], minlength=len(of.n_each))
            for codes, of in zip(found, bags, strict=True)
        ]
        n_each = _stacked([of_draw[:, None].astype(np.int64) for of_draw in counts], torch.int64)[:, :, 0]
        known = np.concatenate([codes[codes != UNSEEN] for codes in found])
        ends = n_each.flatten().cumsum(0).view(n_each.shape)
        return BagBlock(torch.from_numpy(known), ends - n_each, n_each)


def _places(bags: Bags) -> NDArray[np.int32]:
    places = np.full(bags.n_positions, UNSEEN, np.int32)
    seen = np.unique(bags.codes)
    places[seen] = np.arange(len(seen), dtype=np.int32)
    return places


def block_of(
    inputs: Sequence[Inputs], labels: Sequence[NDArray[np.int64]], vectors: Vectors | None, n_inputs: int = 0,
    draws: Sequence[int] | None = None,
) -> Block:  # fmt: skip
    """One block of all draws' rows and labels, with at least so many inputs; draws: of the vectors, by default all."""
    bags = [rows.bags for rows in inputs if rows.bags is not None]
    n_inputs = max(n_inputs, *(rows.n_inputs for rows in inputs))
    is_spelt_out = len(inputs) * max(map(len, inputs)) * n_inputs <= MOST_SPELT_OUT
    return Block(
        _stacked([rows.spelt_out() if is_spelt_out else rows.dense for rows in inputs], torch.float32),
        _stacked([rows.ones[:, : 0 if is_spelt_out else None] for rows in inputs], torch.int32),
        n_inputs,
        _stacked([np.array(of_draw)[:, None] for of_draw in labels], torch.int64)[:, :, 0],
        [len(rows) for rows in inputs],
        None if vectors is None else vectors.block(bags, range(len(bags)) if draws is None else draws),
    )


def _stacked(matrices: Sequence[NDArray], dtype: torch.dtype) -> Tensor:
    """(n_draws, n_most, widest), zeros where a draw has fewer rows or columns."""
    stacked = torch.zeros(len(matrices), max(map(len, matrices)), max(m.shape[1] for m in matrices), dtype=dtype)
    for of_draw, matrix in zip(stacked, matrices, strict=True):
        of_draw[: matrix.shape[0], : matrix.shape[1]] = torch.from_numpy(matrix)
    return stacked


class IndexBatches:
    """Batches of row numbers (M, batch_size): each model's own rows in its own order, new in every epoch.

    An epoch has as many steps as the longest draw needs; rows that would leave the last batch short are filled up
    from the start of the same order. Between two looks at the held-out rows lie one epoch or more, at least LOOK steps.
    """

    def __init__(self, n_rows: list[int], batch_size: int, seeds: list[int]):
        self.n_rows, self.batch_size = n_rows, min(batch_size, max(n_rows))
        self.steps_of_epoch = math.ceil(max(n_rows) / self.batch_size)
        self.n_epochs = math.ceil(LOOK / self.steps_of_epoch)  # between two looks
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __len__(self) -> int:
        return self.n_epochs * self.steps_of_epoch

    def __iter__(self) -> Iterator[Tensor]:
        places = torch.arange(self.steps_of_epoch * self.batch_size)
        for _ in range(self.n_epochs):
            orders = [
                torch.randperm(n, generator=generator)[places % n]
                for n, generator in zip(self.n_rows, self.generators, strict=True)
            ]
            yield from torch.stack(orders).split(self.batch_size, dim=1)

    def keep(self, models: list[int]) -> None:
        """Goes on with the models of these indices alone."""
        self.n_rows, self.generators = [self.n_rows[m] for m in models], [self.generators[m] for m in models]
