"""nnU-Net's integration recipe with a trainer of this package, on real and on generated data.

For each data set: plan and preprocess, train two folds of each configuration for a few steps, find the best
configuration, predict, ensemble, postprocess, evaluate. Data sets are nnU-Net's four of hippocampi (plain, regions,
ignore label, both), lung nodules and ACDC; then generated ones in other formats; then further commands and options of
nnU-Net. Nothing is learnt in so few steps: what counts is that every command ends well.

From the repository's folder::

    python -m tests.integration.recipe --data FOLDER --work FOLDER

On one CPU core that other programs used too, all 353 steps took 115 minutes.

A row for each step is printed and written to ``recipe.md`` in the work folder; the exit code is 1 if one failed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.integration.recipe_commands import run_commands, run_input_format
from tests.integration.recipe_data import GENERATED_DATASETS, HIPPOCAMPUS, REAL_DATASETS, RealDataset
from tests.integration.recipe_runner import Runner
from tests.integration.recipe_steps import CONFIGURATIONS, Chain, run_whole_chain

COMMANDS = "commands"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    everything = [*REAL_DATASETS, *GENERATED_DATASETS, COMMANDS]
    parser.add_argument("--data", type=Path, help="folder with hippocampus, lung_nodules and acdc")
    parser.add_argument("--work", type=Path, required=True, help="folder to work in, new or empty")
    parser.add_argument("--datasets", nargs="+", choices=everything, default=everything, help="default: all")
    parser.add_argument(
        "--configurations", nargs="+", choices=CONFIGURATIONS, default=CONFIGURATIONS, help="of the real data sets"
    )
    parser.add_argument("--trainer", default="nnUNetTrainerDyCON", help="default: nnUNetTrainerDyCON")
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default="cpu", help="default: cpu")
    parser.add_argument("--steps", type=int, default=3, help="steps in each of two epochs of a training (default: 3)")
    arguments = parser.parse_args()
    if arguments.data is None and {*REAL_DATASETS, COMMANDS} & {*arguments.datasets}:
        parser.error("--data is needed for real data sets and commands")
    if "3d_cascade_fullres" in arguments.configurations and "3d_lowres" not in arguments.configurations:
        parser.error("the cascade needs 3d_lowres")
    return arguments


def main() -> int:
    """Run the recipe; 1 if a step failed."""
    arguments = parse_arguments()
    runner = Runner.in_new_folder(
        arguments.work.resolve(), device=arguments.device, trainer=arguments.trainer, steps=arguments.steps
    )
    for key in arguments.datasets:
        if key in REAL_DATASETS:
            dataset = REAL_DATASETS[key]
            dataset.write(arguments.data, runner.raw)
            configurations = [name for name in CONFIGURATIONS if name in arguments.configurations]
            run_whole_chain(Chain(runner, key, dataset.name, configurations))
        elif key in GENERATED_DATASETS:
            run_input_format(runner, key, GENERATED_DATASETS[key])
        else:
            dataset = RealDataset("Dataset711_Commands", "hippocampus", "MRI", HIPPOCAMPUS)
            dataset.write(arguments.data, runner.raw)
            run_commands(Chain(runner, key, dataset.name, ["3d_fullres"]))
    table = runner.write_table()
    print(f"\n{table.read_text().splitlines()[-1]} The table is in {table}.")
    return int(any(status != 0 for _, _, status, _ in runner.rows))


if __name__ == "__main__":
    sys.exit(main())
