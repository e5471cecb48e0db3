"""The vectors of a bag's positions, and their sum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import embedding_bag

from stages.train.network.models import Models, chosen, drawn

BAG_SCALE = 0.1  # deviation of a position's vector at the start


@dataclass(frozen=True)
class BatchOfBags:
    """The positions in the bags of a batch's rows, one row after the other, model by model.

    codes: (n_codes,) int64; n_each: (M * B,) how many a row has.
    """

    codes: Tensor
    n_each: Tensor


class BagSum(nn.Module):
    """The sum of the vectors of a row's positions (Bojanowski et al. 2017), over the root of their number; the gradient
    of the vectors is sparse.

    Shape: BatchOfBags of M * B rows -> (M, B, units).
    """

    def __init__(self, generators: Sequence[Generator], n_positions: int, units: int):
        super().__init__()
        self.n_positions = n_positions
        table = drawn(generators, n_positions, units, scale=BAG_SCALE)
        self.vectors = nn.Parameter(table.flatten(0, 1))  # (M * n_positions, units)

    def forward(self, bags: BatchOfBags, n_rows: int, models: Models) -> Tensor:
        n_models = len(self.vectors) // self.n_positions
        of_model = chosen(torch.arange(n_models, device=bags.codes.device), models)
        first = torch.repeat_interleave(of_model * self.n_positions, n_rows)  # of each row
        codes = bags.codes + torch.repeat_interleave(first, bags.n_each)
        total: Tensor = _Sums.apply(self.vectors, codes, bags.n_each)
        return (total * bags.n_each[:, None].clamp(min=1).rsqrt()).view(len(of_model), n_rows, -1)


class _Sums(torch.autograd.Function):
    """The sum of each bag's vectors, as embedding_bag(mode="sum") gives it, whose gradient has one row per position.

    torch's own gradient has a row for every code of the batch and is sorted and added up by the optimizer, which takes
    most of a step; here each position's occurrences are found first and added up as a bag of the rows they are in.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, codes: Tensor, n_each: Tensor) -> Tensor:
        ctx.save_for_backward(codes, n_each)
        ctx.shape = table.shape
        return embedding_bag(codes, table, n_each.cumsum(0) - n_each, mode="sum")

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        codes, n_each = ctx.saved_tensors
        ordered, order = torch.sort(codes, stable=True)
        rows = torch.repeat_interleave(torch.arange(len(n_each), device=codes.device), n_each)[order]
        positions, n_times = torch.unique_consecutive(ordered, return_counts=True)
        sums = embedding_bag(rows, gradients[0].contiguous(), n_times.cumsum(0) - n_times, mode="sum")
        return torch.sparse_coo_tensor(positions[None], sums, ctx.shape, check_invariants=False), None, None
