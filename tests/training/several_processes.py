"""What the tests of several processes run in each: losses, steps of trainers, and what goes between processes."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.losses import (
    Classes,
    Reduction,
    Regions,
    dice_and_cross_entropy,
    fecl_loss,
    gace_loss,
    gadice_loss,
    softmax_mse,
    uncl_loss,
    uncl_of_pseudo_labels,
)
from nnunetv2_dycon.methods import dycon
from nnunetv2_dycon.trainers import nnUNetTrainerCoTraining, nnUNetTrainerDyCON, nnUNetTrainerMeanTeacher
from nnunetv2_dycon.training import distributed
from nnunetv2_dycon.training.watch import Watch
from nnunetv2_dycon.views.copy_paste import MixedPatches

TRAINERS = (nnUNetTrainerDyCON, nnUNetTrainerCoTraining, nnUNetTrainerMeanTeacher)
BATCH_SIZE = 6
NUM_STEPS = 5
NUM_PATCHES = 5  # of the losses, which processes cannot share equally
NUM_CLASSES = 3
WORLD_SIZES = (3, 2)
CHECKPOINT = "of_one_process.pth"  # of the last of TRAINERS


def run(rank: int, folder: Path, make: Callable[..., nnUNetTrainer], plans: dict[str, str]) -> None:
    """Do everything as one of three and as one of two processes; what came out is written as ``WORLD_SIZE_RANK.pt``."""
    torch.set_num_threads(1)
    dycon.paste_boxes = paste_fixed_boxes
    for world_size in WORLD_SIZES:
        if rank < world_size:
            run_in_group(rank, world_size, folder, make, plans)


def run_in_group(
    rank: int, world_size: int, folder: Path, make: Callable[..., nnUNetTrainer], plans: dict[str, str]
) -> None:
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous_{world_size}",
        rank=rank,
        world_size=world_size,
        timeout=timedelta(minutes=10),
    )
    share = distributed.share_of_batch(NUM_PATCHES)
    start = sum(distributed.gathered(share)[:rank])
    results: dict[str, Any] = {
        "patches": slice(start, start + share),
        "losses": losses(distributed.reduction(), slice(start, start + share)),
        "between": between_processes(rank),
    }
    for trainer_class in TRAINERS:
        name = trainer_class.__name__
        trainer = make(trainer_class, plans[name], seed=rank)
        results[name] = train(trainer)
    trainer.save_checkpoint(str(folder / f"{world_size}_{rank}.pth"))
    results["resumed"] = resume(make(trainer_class, plans[name], seed=rank), folder / CHECKPOINT)
    torch.save(results, folder / f"{world_size}_{rank}.pt")
    torch.distributed.destroy_process_group()


def between_processes(rank: int) -> dict[str, Any]:
    found: dict[str, Any] = {"first": distributed.on_first_process(lambda: ("made by", rank))}

    def fail() -> None:
        raise UserError("The disk is full.")

    try:
        distributed.on_first_process(fail)
    except UserError as error:
        found["error"] = (type(error).__name__, str(error))
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    distributed.separate_random_numbers()
    found["random"] = [torch.rand(()).item(), np.random.rand(), random.random()]  # noqa: NPY002
    found["anywhere"] = [distributed.is_true_anywhere(condition) for condition in (rank == 1, False)]
    found["mean"] = distributed.mean_over_processes({"loss": float(rank)})
    found["watched"] = watched(rank)
    try:
        distributed.refuse_fewer_patches_than_processes({"batch_size": 6, "unlabeled_batch_size": 1})
    except UserError as error:
        found["refused"] = str(error)
    return found


def watched(rank: int) -> dict[str, float]:
    """The last process waits, and has all patches that were drawn uniformly."""
    is_last = rank == distributed.num_processes() - 1
    watch = Watch(None)
    watch.start_epoch()
    if is_last:
        with watch.waiting():
            time.sleep(0.3)
    means = {"ramp": float(rank), "weak_view_entropy": float(rank)}
    means |= {"weak_view_foreground_fraction": 0.5 if is_last else math.nan, "labeled_foreground_fraction": math.nan}
    return watch.end_epoch(means)


# Losses


def losses(reduction: Reduction, patches: slice) -> dict[str, tuple[Tensor, Tensor]]:
    """Value and gradient of every loss, of some patches of a batch whose masks have different sizes."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(NUM_PATCHES, *shape, generator=generator, dtype=torch.float64)

    spatial = (4, 5, 6)
    student, teacher = normal(NUM_CLASSES, *spatial), normal(NUM_CLASSES, *spatial)
    target = torch.randint(NUM_CLASSES, (NUM_PATCHES, 1, *spatial), generator=generator)
    shares = torch.linspace(0.05, 0.95, NUM_PATCHES, dtype=torch.float64).view(-1, 1, 1, 1, 1)
    mask = torch.rand((NUM_PATCHES, 1, *spatial), generator=generator, dtype=torch.float64) < shares
    regions = target == torch.arange(NUM_CLASSES).view(1, -1, 1, 1, 1)
    embeddings = torch.nn.functional.normalize(normal(20, 4), dim=2)
    teacher_embeddings = torch.nn.functional.normalize(normal(20, 4), dim=2)
    cells = {
        "entropy": normal(20).abs(),
        "weights": torch.rand((NUM_PATCHES, 20), generator=generator) * (mask.flatten(1)[:, :20]),
    }
    cell_labels = target.flatten(1)[:, :20]

    teacher, target, mask, regions = (values[patches] for values in (teacher, target, mask, regions))
    teacher_embeddings, cell_labels = teacher_embeddings[patches], cell_labels[patches]
    cells = {name: values[patches] for name, values in cells.items()}

    def dice(logits: Tensor, **options: Any) -> Tensor:
        truth = regions if isinstance(options.get("labels"), Regions) else target
        return sum(dice_and_cross_entropy(logits, truth, [mask, ~mask], reduction=reduction, **options))

    def fecl(embeddings: Tensor, variant: str) -> Tensor:
        options = {"teacher_embeddings": teacher_embeddings, "hard_negative_threshold": 0.2, **cells}
        return fecl_loss(embeddings, cell_labels, variant=variant, reduction=reduction, **options)

    def uncl(logits: Tensor, **options: Any) -> Tensor:
        return uncl_loss(logits, teacher, 0.7, reduction=reduction, **options)

    def hard_uncl(logits: Tensor, **options: Any) -> Tensor:
        terms = uncl_of_pseudo_labels(logits, teacher, 0.7, confidence=0.5, mask=mask, reduction=reduction, **options)
        return sum(value for value in terms)

    every: dict[str, tuple[Tensor, Callable[[Tensor], Tensor]]] = {
        "softmax_mse": (student, lambda x: softmax_mse(x, teacher, reduction=reduction)),
        "softmax_mse in a mask": (student, lambda x: softmax_mse(x, teacher, mask=mask, reduction=reduction)),
        "dice": (student, dice),
        "dice over the batch": (student, lambda x: dice(x, batch_dice=True)),
        "uncl of pseudo-labels": (student, lambda x: hard_uncl(x)),
        "uncl of pseudo-labels, regions": (student, lambda x: hard_uncl(x, labels=Regions())),
        "dice of regions": (student, lambda x: dice(x, labels=Regions(False), batch_dice=True)),
        "uncl over voxels": (student, uncl),
        "uncl in a mask": (student, lambda x: uncl(x, mask=mask)),
        "uncl with cross-entropy": (student, lambda x: uncl(x, mask=mask, cross_entropy_weight=0.5)),
        "uncl over classes": (student, lambda x: uncl(x, mask=mask, normalization="classes", labels=Classes())),
        "fecl of the paper": (embeddings, lambda x: fecl(x, "paper")),
        "official fecl": (embeddings, lambda x: fecl(x, "official")),
        "gadice": (student, lambda x: gadice_loss(x, target, ignored=mask, reduction=reduction)),
        "gace": (student, lambda x: gace_loss(x, target, percent=100, ignored=mask, reduction=reduction)),
    }
    found = {}
    for name, (values, loss) in every.items():
        given = values[patches].clone().requires_grad_()
        value = loss(given)
        value.backward()
        found[name] = value.detach(), given.grad
    return found


# Trainers


def train(trainer: nnUNetTrainer) -> dict[str, Any]:
    """A step of the warm-up, then five on both streams with plain SGD, on this process's part of the same batches."""
    trainer.initialize()
    trainer.num_epochs = 10
    trained = [*trainer.student_network.parameters(), *trainer.students.auxiliary.parameters()]
    trainer.optimizer = torch.optim.SGD(trained, lr=0.01)
    messages = [_count_messages(student.running) for student in trainer.students]
    batches = [_batch(step, _part(trainer)) for step in range(1 + NUM_STEPS)]
    trainer.unlabeled_stream = iter([{"data": views} for _, views in batches[1:]])
    supervised = []
    for step, (batch, _) in enumerate(batches):
        # By default, weights rise to their full values until 0.4 of the training.
        trainer.current_epoch = 0 if step == 0 else 5
        if step < 2:
            trainer.on_train_epoch_start()
        supervised.append({"loss": trainer.train_step(batch)["loss"]})
    trainer.on_train_epoch_end(supervised)
    log = trainer.logger.get_checkpoint()
    logged = {name: log[name][-1] for name in log if name.endswith(("_loss", "_entropy", "train_losses")) and log[name]}
    return {
        "student": trainer.student_network.state_dict(),
        "auxiliary": trainer.students.auxiliary.state_dict(),
        "average": trainer.students.average.state_dict(),
        "messages": messages,
        "logged": logged,
        "batch sizes": (trainer.batch_size, distributed.share_of_batch(BATCH_SIZE)),
    }


def resume(trainer: nnUNetTrainer, checkpoint: Path) -> dict[str, Any]:
    """Take a step from a checkpoint."""
    trainer.load_checkpoint(str(checkpoint))
    trainer.on_train_epoch_start()
    batch, views = _batch(NUM_STEPS, _part(trainer))
    trainer.unlabeled_stream = iter([{"data": views}])
    trainer.train_step(batch)
    return {"student": trainer.student_network.state_dict(), "average": trainer.students.average.state_dict()}


def _part(trainer: nnUNetTrainer) -> slice:
    sizes = distributed.gathered(trainer.batch_size)
    start = sum(sizes[: distributed.rank()])
    return slice(start, start + trainer.batch_size)


def _batch(step: int, part: slice) -> tuple[dict[str, Any], Tensor]:
    """A labeled batch and the views of an unlabeled one."""
    generator = torch.Generator().manual_seed(step)
    patch = (16, 24, 16)
    data = torch.randn(BATCH_SIZE, 1, *patch, generator=generator)
    views = torch.randn(BATCH_SIZE, 2, *patch, generator=generator)
    target = (data + 0.3 * torch.randn(data.shape, generator=generator) > 0.5).short()
    # In one half of the patches a second class, so that parts of the batch have different classes.
    target[: BATCH_SIZE // 2] *= 2
    target[:, :, 8:] = 0
    data, views, target = data[part], views[part], target[part]
    return {"data": data, "target": [target, target[:, :, ::2, ::2, ::2]]}, views


def paste_fixed_boxes(unlabeled: Tensor, labeled: Tensor, fraction: float, share: float) -> MixedPatches:
    """As DyCON pastes boxes of labeled patches, but at one place and from the patch of the same number."""
    assert share == 1
    mask = torch.zeros_like(unlabeled[:, :1], dtype=torch.bool)
    mask[(..., *(slice(round(fraction * length)) for length in unlabeled.shape[2:]))] = True
    return MixedPatches(torch.where(mask, labeled, unlabeled), mask, torch.arange(len(unlabeled)))


def _count_messages(running: torch.nn.Module) -> list[int]:
    """A list that gets an entry whenever the gradients of a network are averaged over the processes."""
    sent: list[int] = []

    def hook(state: None, bucket: torch.distributed.GradBucket) -> torch.futures.Future[Tensor]:
        sent.append(bucket.index())
        return allreduce_hook(state, bucket)

    if isinstance(running, DistributedDataParallel):
        # PyTorch compares types and not their names.
        hook.__annotations__ = get_type_hints(hook)
        running.register_comm_hook(None, hook)
    return sent
