"""nnUNetv2_train as one of the processes that torchrun starts, on one machine or several."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from nnunetv2.run.run_training import run_training_entry
from torch import distributed
from torch.multiprocessing import ProcessRaisedException

from nnunetv2_dycon.exceptions import UserError, print_user_errors_without_traceback
from nnunetv2_dycon.processes import Stopped
from nnunetv2_dycon.training.find_trainer import find_trainer
from nnunetv2_dycon.training.trainer import nnUNetTrainerSemiSupervised

# nnU-Net predicts up to 20 validation cases between two moments at which all processes meet.
_TIMEOUT = timedelta(hours=2)
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """Where a process stands among those that torchrun has started: the values of torchrun's variables.

    Attributes:
        rank: number of the process, over all machines.
        world_size: number of processes, over all machines.
        local_rank: number of the process on its machine, which is that of its GPU.
        local_world_size: number of processes on its machine.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @classmethod
    def from_environment(cls) -> Launch | None:
        """What torchrun says; None where it has not started this process.

        Raises:
            UserError: where some of its variables are set and others are not.
        """
        if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
            return None
        if missing := [name for name in _VARIABLES if name not in os.environ]:
            raise UserError(
                f"RANK and WORLD_SIZE are set, but not {', '.join(missing)}: start several processes with torchrun, "
                "which sets them all, or unset the two for a single process."
            )
        return cls(*(int(os.environ[name]) for name in _VARIABLES[:4]))


def train(arguments: Sequence[str]) -> None:
    """Run nnUNetv2_train in this process, which takes part in a group if torchrun has started several.

    Args:
        arguments: of nnUNetv2_train.

    Raises:
        UserError: for arguments that do not fit the way in which this process was started.
    """
    print_user_errors_without_traceback()
    launch = Launch.from_environment()
    options = _options(arguments)
    several = launch is not None and launch.world_size > 1
    if launch is not None:
        _refuse_what_does_not_fit(launch, options)
    if launch is not None and several:
        if options.device == "cuda":
            torch.cuda.set_device(launch.local_rank)
        distributed.init_process_group("nccl" if options.device == "cuda" else "gloo", timeout=_TIMEOUT)
    sys.argv = ["nnunetv2_dycon train", *arguments]
    try:
        run_training_entry()
    except ProcessRaisedException as error:
        raise _user_error_in(error) or error from None
    except Stopped as stopped:
        if options.num_gpus > 1:
            _pass_on(stopped)
        raise
    # Not after an error: this would wait for processes that wait for this one.
    if several:
        distributed.destroy_process_group()


def _pass_on(stopped: Stopped) -> None:
    """Give the signal to the processes that -num_gpus has started, and wait until they have stopped."""
    processes = multiprocessing.active_children()
    for process in processes:
        if process.pid is not None:
            os.kill(process.pid, stopped.received)
    for process in processes:
        process.join()


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """Those of nnUNetv2_train that decide on the processes, with its defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-num_gpus", type=int, default=1)
    parser.add_argument("-device", default="cuda")
    parser.add_argument("-tr", default="nnUNetTrainer")
    return parser.parse_known_args(arguments)[0]


def _refuse_what_does_not_fit(launch: Launch, options: argparse.Namespace) -> None:
    if options.num_gpus > 1:
        raise UserError(
            "-num_gpus starts processes of its own, and torchrun has started some already: leave -num_gpus out under "
            "torchrun, or torchrun out."
        )
    if launch.world_size == 1:
        return
    if options.device == "mps":
        raise UserError("-device mps works in one process only: start nnunetv2_dycon train without torchrun.")
    if options.device == "cuda" and launch.local_world_size > torch.cuda.device_count():
        raise UserError(
            f"torchrun has started {launch.local_world_size} processes on this machine, which has "
            f"{torch.cuda.device_count()} GPUs that PyTorch can use: set --nproc-per-node to that number, or train "
            "with -device cpu."
        )
    on_one_machine = launch.local_world_size == launch.world_size
    if options.device == "cuda" and on_one_machine:
        return
    if not issubclass(find_trainer(options.tr), nnUNetTrainerSemiSupervised):
        raise UserError(
            f"{options.tr} is a trainer of nnU-Net's own, which supports several processes only on the GPUs of one "
            "machine: use fewer nodes, or a trainer of this package such as nnUNetTrainerDyCON."
        )


def _user_error_in(error: ProcessRaisedException) -> UserError | None:
    """The error that the user can act on of a process that -num_gpus has started, if it is one."""
    found = re.search(r"^nnunetv2_dycon\.exceptions\.\w+: (.*)\Z", str(error).rstrip(), re.MULTILINE | re.DOTALL)
    return None if found is None else UserError(found[1])
