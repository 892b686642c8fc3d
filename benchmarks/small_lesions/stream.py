"""Which patches the unlabeled stream draws while a trained teacher looks at them; nothing is trained.

``python -m benchmarks.small_lesions.stream`` takes a teacher from a checkpoint of this benchmark and draws as a
training does, knowing nothing at first. Counted are the patches that show a lesion by the true labels.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common.report import markdown_table
from benchmarks.small_lesions.training import make_trainer
from nnunetv2_dycon.training import start
from nnunetv2_dycon.views.locations import foreground_by_block


def draw(folder: Path, checkpoint: Path, fraction: float, seed: int, steps: int) -> dict[str, Any]:
    """Draw batches and let the teacher see them.

    Args:
        folder: a workspace of the benchmark.
        checkpoint: whose deployed network is the teacher.
        fraction: of unlabeled patches around the teacher's foreground.
        seed: of the batches.
        steps: how many batches.

    Returns:
        Figures for the table.
    """
    trainer = make_trainer(folder, fraction, seed, "results_of_drawing")
    trainer.initialize()
    weights = torch.load(checkpoint, map_location="cpu", weights_only=False)["network_weights"]
    trainer.students.deployed_average.load_state_dict(weights)
    loader = trainer.make_unlabeled_loader(start.prepare_unlabeled_cases(trainer))
    trainer.unlabeled_stream = loader
    known = []
    for _ in range(steps):
        batch = trainer.next_unlabeled_batch()
        weak, _ = batch["data"].chunk(2, dim=1)
        (guidance,) = trainer.students.guide(weak)
        foreground = foreground_by_block(guidance.teacher.logits, trainer.method.labels)
        trainer.class_locations.see(batch, foreground)
        known.append(trainer.class_locations.known_case_fraction)
    quarters = np.array_split(np.array(trainer.counts) / trainer.batch_size, 4)
    shares = {f"quarter_{index + 1}": float(quarter.mean()) for index, quarter in enumerate(quarters)}
    return {
        "fraction": fraction,
        "seed": seed,
        "steps": steps,
        "patches_with_lesion": float(np.mean(trainer.counts)) / trainer.batch_size,
        **shares,
        "cases_known": known[-1],
    }


def main(arguments: list[str] | None = None) -> None:
    """Draw as the command line says, and print a table.

    Args:
        arguments: the command line, without the program's name; that of this process if None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small_lesions.stream",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workspace", type=Path, required=True, metavar="FOLDER", help="where the benchmark ran")
    parser.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="of one of its trainings")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="CSV file to write")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.0, 0.33], help="default: 0 and 0.33")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1], help="default: 0 and 1")
    parser.add_argument("--steps", type=int, default=400, help="batches of two patches (default: 400)")
    options = parser.parse_args(arguments)
    results = [
        draw(options.workspace.resolve(), options.checkpoint, fraction, seed, options.steps)
        for fraction in options.fractions
        for seed in options.seeds
    ]
    with options.output.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, results[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(results)
    rows = [[f"{value:.4g}" for value in result.values()] for result in results]
    print(markdown_table(list(results[0]), rows))


if __name__ == "__main__":
    main()
