"""What a training does where several processes share it, each with a GPU and a part of every batch.

With one process, every function here does nothing. The process group is nnU-Net's own (``nnUNetv2_train -num_gpus``)
or that of :mod:`nnunetv2_dycon.training.launch`; a process's number in it is its rank.
"""

from __future__ import annotations

import os
import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as nnunet_trainer_module
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import distributed, nn
from torch._dynamo import OptimizedModule
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_dycon.exceptions import FirstProcessError, UserError
from nnunetv2_dycon.losses.reduction import WHOLE_BATCH, Reduction, ReductionOverProcesses

# Preprocessing may take hours; a process that ends is noticed at once, since its connection closes.
_LONGEST_WAIT = timedelta(days=7)

Result = TypeVar("Result")


def is_distributed() -> bool:
    """Whether several processes share the training."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """The number of this process, 0 for the first, which writes all files."""
    return distributed.get_rank() if is_distributed() else 0


def num_processes() -> int:
    """How many processes share the training."""
    return distributed.get_world_size() if is_distributed() else 1


def reduction() -> Reduction:
    """What completes the sums of losses over a batch."""
    return ReductionOverProcesses() if is_distributed() else WHOLE_BATCH


# Devices and networks


def use_own_device(trainer: nnUNetTrainer, device: torch.device) -> None:
    """Give a new trainer the device that was asked for, and of GPUs the one of this process on this machine.

    nnUNetTrainer of 2.8.1 takes a GPU whatever was asked for, and the one whose number is the rank: on the second of
    two machines there is none of that number.

    Args:
        trainer: changed in place.
        device: what the trainer was made with.
    """
    if not is_distributed():
        return
    # torchrun sets it; the processes that nnU-Net starts are all on one machine.
    index = int(os.environ.get("LOCAL_RANK", rank()))
    trainer.device = torch.device("cuda", index) if device.type == "cuda" else device
    if device.type != "cuda":
        trainer.grad_scaler = None
        # nnUNetv2_train gives every process all cores.
        processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", num_processes()))
        torch.set_num_threads(max(1, torch.get_num_threads() // processes_here))


@contextmanager
def wrapping_for_own_device(trainer: nnUNetTrainer) -> Iterator[None]:
    """In this block, nnUNetTrainer.initialize has a trainer's network synchronised on the trainer's own device.

    That of 2.8.1 wraps the network for the GPU whose number is the rank; see :func:`use_own_device`. There is no hook
    between the choice of that number and the wrapping.
    """
    if not is_distributed():
        yield
        return

    def wrap(network: nn.Module, device_ids: list[int]) -> nn.Module:  # noqa: ARG001 (those that are wrong)
        return _wrap(network, trainer)

    theirs = nnunet_trainer_module.DDP
    nnunet_trainer_module.DDP = wrap
    try:
        yield
    finally:
        nnunet_trainer_module.DDP = theirs


def synchronised(network: nn.Module, trainer: nnUNetTrainer) -> nn.Module:
    """Wrap a network beside nnU-Net's as nnUNetTrainer.initialize does its own: gradients are averaged over processes.

    The first process's weights are given to the others.
    """
    if not is_distributed():
        return network
    return _wrap(nn.SyncBatchNorm.convert_sync_batchnorm(network), trainer)


def _wrap(network: nn.Module, trainer: nnUNetTrainer) -> DistributedDataParallel:
    return DistributedDataParallel(
        network,
        device_ids=[trainer.device] if trainer.device.type == "cuda" else None,
        # Without deep supervision, nnU-Net's decoders keep its layers but do not use them.
        find_unused_parameters=not trainer.enable_deep_supervision,
    )


def unwrapped(network: nn.Module) -> nn.Module:
    """A network without the wrappers of DistributedDataParallel and torch.compile."""
    if isinstance(network, DistributedDataParallel):
        network = network.module
    return network._orig_mod if isinstance(network, OptimizedModule) else network


def broadcast_weights(module: nn.Module) -> None:
    """Give the first process's parameters and buffers to all."""
    if is_distributed():
        for tensor in (*module.parameters(), *module.buffers()):
            distributed.broadcast(tensor.detach(), src=0)


def average_gradients(modules: Iterable[nn.Module]) -> None:
    """Average the gradients of modules that are not wrapped over the processes, in one message."""
    if not is_distributed():
        return
    gradients = [p.grad for module in modules for p in module.parameters() if p.grad is not None]
    if gradients:
        message = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(message)
        parts = message.div_(num_processes()).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))


# Batches


def share_of_batch(batch_size: int) -> int:
    """How many of a batch's patches this process has; as nnUNetTrainer shares out the labeled batch."""
    return batch_size // num_processes() + (rank() < batch_size % num_processes())


def refuse_fewer_patches_than_processes(batch_sizes: dict[str, int | None]) -> None:
    """Refuse batches of which a process would get nothing.

    Args:
        batch_sizes: by the name of the setting that decides.

    Raises:
        UserError: naming the setting.
    """
    for name, size in batch_sizes.items():
        if size is not None and size < num_processes():
            raise UserError(
                f'"{name}" is {size}, and the training runs in {num_processes()} processes, each of which needs a '
                f"patch of every batch: use at most {size} GPUs, or plan a larger batch."
            )


def separate_random_numbers() -> None:
    """Let no two processes draw the same patches and boxes; the first goes on with its own random numbers."""
    if rank() > 0:
        torch.manual_seed((torch.initial_seed() + rank()) % 2**63)
        random.seed(f"{random.random()} {rank()}")
        np.random.seed((np.random.randint(2**31) + rank()) % 2**32)  # noqa: NPY002 (nnU-Net's loaders draw from it)


# What one process does for all, or tells the others


def gathered(value: Result) -> list[Result]:
    """The values of all processes, in the order of their ranks; any that can be pickled."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * num_processes()
    distributed.all_gather_object(values, value)
    return values


def mean_over_processes(values: dict[str, float]) -> dict[str, float]:
    """The mean of each value over the processes, which have the same names."""
    everywhere = gathered(values)
    return {name: float(np.mean([there[name] for there in everywhere])) for name in values}


def is_true_anywhere(condition: bool) -> bool:
    """Whether a condition holds in any process, so that all can act on it after the same step."""
    if not is_distributed():
        return condition
    device = torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
    number = torch.tensor(int(condition), device=device)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return bool(number)


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if is_distributed():
        distributed.barrier()


def on_first_process(function: Callable[[], Result]) -> Result:
    """Have the first process call a function while the others wait, for a week at most; all get its result.

    Args:
        function: returns what can be pickled.

    Returns:
        What it returned in the first process.

    Raises:
        FirstProcessError: in the other processes, if the function raised an error in the first.
    """
    if not is_distributed():
        return function()
    # The default group would give up after ten minutes; on GPUs its waiting cannot be interrupted.
    waiting = distributed.new_group(backend="gloo", timeout=_LONGEST_WAIT)
    assert isinstance(waiting, distributed.ProcessGroup)  # all processes are members
    try:
        return _call_on_first_process(function, waiting)
    finally:
        distributed.destroy_process_group(waiting)


def _call_on_first_process(function: Callable[[], Result], group: distributed.ProcessGroup) -> Result:
    message: list[Any] = [None]
    if rank() == 0:
        try:
            result = function()
            pickle.dumps(result)
            message = [(result, None)]
        except BaseException as error:
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            distributed.broadcast_object_list([(None, text)], src=0, group=group)
            raise
    distributed.broadcast_object_list(message, src=0, group=group)
    result, text = message[0]
    if text is not None:
        raise FirstProcessError(text)
    return result
