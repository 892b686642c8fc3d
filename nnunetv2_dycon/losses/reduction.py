"""How losses add up over a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import once_differentiable


class Reduction:
    """The batch is in this process as a whole: its sums are complete.

    A loss gives every sum over voxels or patches of the batch to its reduction before it divides or takes a
    logarithm. So it needs not know whether there are other processes.
    """

    def sum(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Complete sums over this process's part of the batch; gradients pass.

        Args:
            values: of any shapes and types, the same in all processes.
        """
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the batch of floating point values of any shape; gradients pass."""
        return values.mean()


class ReductionOverProcesses(Reduction):
    """Each process of a group has a part of the batch, and all compute the loss of the whole.

    For training in ``DistributedDataParallel``, which takes the mean of the processes' gradients: the gradient of a sum
    is multiplied by the number of processes, so that this mean is the gradient of the whole batch's loss. All
    processes have to call a loss at the same time.

    Args:
        group: of ``torch.distributed``; None for the default one.
    """

    def __init__(self, group: distributed.ProcessGroup | None = None) -> None:
        self._group = group

    def sum(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Add up over the processes; see Reduction."""
        # One message for all; counts of voxels need more digits than float32 has.
        parts = [value.reshape(-1).double() for value in values]
        totals = _SumOverProcesses.apply(torch.cat(parts), self._group).split([len(part) for part in parts])
        return tuple(
            (total if value.requires_grad else total.detach()).view_as(value).to(value.dtype)
            for value, total in zip(values, totals, strict=True)
        )

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes' values, of which they may have different numbers. See Reduction."""
        total, count = self.sum(values.sum(), torch.full_like(values.detach().sum(), values.numel()))
        return total / count


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: distributed.ProcessGroup | None) -> Tensor:
        ctx.num_processes = distributed.get_world_size(group)
        total = values.clone()
        distributed.all_reduce(total, group=group)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        # All processes compute the same of the sum and so have the same gradient by it: nothing has to be sent.
        return gradient * ctx.num_processes, None


WHOLE_BATCH = Reduction()
