"""What only a GPU can show: trainings in float16 with GradScaler and torch.compile, NCCL, stopping, prediction.

Not part of ``make test``. With the environment's Python, on a machine with a GPU:

    python -m tests.integration.on_a_gpu --data FOLDER --work NEW

FOLDER is the hippocampus data with ``images``, ``labels`` and ``protocol.json``. Everything runs through the real
command lines, in NEW. First the losses are compared with the CPU's. Then nnU-Net and DyCON train alone, for the time of
an epoch; then every method trains, one under torchrun with NCCL, one is stopped by SIGTERM and continued, and the model
predicts. Ends with a table, also in ``NEW/recipe.md``; the exit code is 1 where a step fails.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch.nn.functional import normalize

from nnunetv2_dycon.losses import fecl_loss, uncl_loss
from nnunetv2_dycon.methods import all_methods
from nnunetv2_dycon.processes import EXIT_CODE
from tests.integration.recipe_data import HIPPOCAMPUS, RealDataset
from tests.integration.recipe_runner import Runner

DATASET = RealDataset("Dataset701_Hippocampus", "hippocampus", "MRI", {**HIPPOCAMPUS})
EPOCHS = 3

TRAINERS = """
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2_dycon import trainers
from nnunetv2_dycon.methods import all_methods


def short(base):
    class Trainer(base):
        # What the losses do on a GPU is to be seen from the first step on.
        ramp = 1.0

        def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
            super().__init__(plans, configuration, fold, dataset_json, device)
            self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = EPOCHS, STEPS, 2

    Trainer.__name__ = Trainer.__qualname__ = f"{base.__name__}Short"
    return Trainer


nnUNetTrainerShort = short(nnUNetTrainer)
for _method in all_methods():
    _name = f"nnUNetTrainer{_method.__name__}"
    globals()[f"{_name}Short"] = short(getattr(trainers, _name))
"""


def compare_losses() -> None:
    """UnCL and FeCL with their gradients on the GPU, in float32, against the CPU's in float64."""
    generator = torch.Generator().manual_seed(0)
    logits, other = (torch.randn(2, 3, 16, 16, 16, generator=generator, dtype=torch.float64) for _ in range(2))
    embeddings, teacher = (
        normalize(torch.randn(2, 64, 32, generator=generator, dtype=torch.float64), dim=-1) for _ in range(2)
    )
    labels = torch.randint(3, (2, 64), generator=generator)

    def uncl(device: str, dtype: torch.dtype) -> list[torch.Tensor | None]:
        student = logits.to(device, dtype, copy=True).requires_grad_()
        loss = uncl_loss(student, other.to(device, dtype), 0.7)
        loss.backward()
        return [loss.detach(), student.grad]

    def fecl(device: str, dtype: torch.dtype) -> list[torch.Tensor | None]:
        student = embeddings.to(device, dtype, copy=True).requires_grad_()
        loss = fecl_loss(student, labels.to(device), teacher_embeddings=teacher.to(device, dtype))
        loss.backward()
        return [loss.detach(), student.grad]

    for function in (uncl, fecl):
        for here, there in zip(function("cpu", torch.float64), function("cuda", torch.float32), strict=True):
            assert here is not None
            assert there is not None
            torch.testing.assert_close(there.cpu().double(), here, rtol=1e-4, atol=1e-6)


def report_epochs(fold: Path) -> None:
    """Print the median time of a training's epochs, without the first, in which torch.compile works.

    Args:
        fold: the results folder of a fold.
    """
    logs = [*fold.glob("training_log*.txt")]
    times = [float(seconds) for log in logs for seconds in re.findall(r"Epoch time: ([\d.]+) s", log.read_text())]
    assert len(times) == EPOCHS, f"{fold} has {len(times)} epochs in its log"
    print(f"{fold.parent.name}: {median(times[1:]):.2f} s an epoch, the first {times[0]:.2f} s", flush=True)


def stop_and_continue(runner: Runner, trainer: str, fold: int) -> None:
    """SIGTERM in the second epoch, then ``--c``.

    Args:
        runner: with the planned data set.
        trainer: by name.
        fold: to be trained.
    """
    executable = str(Path(sys.executable).with_name("nnUNetv2_train"))
    line = [executable, "701", "3d_fullres", str(fold), "-tr", trainer, "-device", runner.device]
    log = runner.work / "logs" / "stopped.log"
    with log.open("w") as output:
        training = subprocess.Popen(line, env=runner.environment, stdout=output, stderr=subprocess.STDOUT)
        while "Epoch 1" not in log.read_text() and training.poll() is None:
            time.sleep(0.2)
        time.sleep(1)
        training.send_signal(signal.SIGTERM)
        stopped = time.monotonic()
        status = training.wait(timeout=120)
        seconds = time.monotonic() - stopped
    assert status == EXIT_CODE, f"exit code {status} after SIGTERM, see {log}"
    print(f"stopped {seconds:.1f} s after SIGTERM", flush=True)
    runner.run("stopped", f"{trainer} --c", "nnUNetv2_train", *line[1:], "--c")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images, labels and protocol.json")
    parser.add_argument("--work", type=Path, required=True, help="a new folder for everything that is made")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="of an epoch (default: 100)")
    parser.add_argument(
        "--at-once",
        type=int,
        default=4,
        metavar="N",
        help="trainings at a time, but for those that are timed (default: 4)",
    )
    parser.add_argument("--device", default="cuda", help="cpu shows that the script works (default: cuda)")
    options = parser.parse_args()
    runner = Runner.in_new_folder(
        options.work, device=options.device, trainer="nnUNetTrainerDyCON", steps=options.steps
    )
    (options.work / "trainers" / "short_trainers.py").write_text(
        TRAINERS.replace("EPOCHS", str(EPOCHS)).replace("STEPS", str(options.steps))
    )
    DATASET.write(options.data.parent, runner.raw)
    train = partial(_train, runner)
    if options.device == "cuda":
        runner.check("losses", "as on the CPU", compare_losses)
    runner.run("data", "plan", "nnUNetv2_plan_and_preprocess", "-d", 701, "-c", "2d", "3d_fullres", "-np", 4, 4)
    folder = runner.results / DATASET.name
    for trainer in ("nnUNetTrainer", "nnUNetTrainerDyCON"):
        train(trainer, 0)
        fold = folder / f"{trainer}Short__nnUNetPlans__3d_fullres" / "fold_0"
        runner.check("3d_fullres", f"{trainer}'s epochs", partial(report_epochs, fold))
    others = [f"nnUNetTrainer{method.__name__}" for method in all_methods() if method.__name__ != "DyCON"]
    jobs: list[Callable[[], None]] = [partial(train, trainer, 0) for trainer in others]
    jobs += [
        partial(train, "nnUNetTrainerDyCON", 0, "2d"),
        partial(_torchrun, runner, 1),
        lambda: runner.check(
            "stopped", "SIGTERM and --c", lambda: stop_and_continue(runner, "nnUNetTrainerDyCONShort", 2)
        ),
        partial(_predict, runner),
    ]
    with ThreadPoolExecutor(options.at_once) as pool:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
    print(runner.write_table().read_text())
    sys.exit(any(status for _, _, status, _ in runner.rows))


def _train(runner: Runner, trainer: str, fold: int, configuration: str = "3d_fullres") -> None:
    arguments = (701, configuration, fold, "-tr", f"{trainer}Short", "-device", runner.device)
    runner.run(configuration, trainer, "nnUNetv2_train", *arguments)


def _torchrun(runner: Runner, fold: int) -> None:
    command = shutil.which("nnunetv2_dycon", path=str(Path(sys.executable).parent)) or "nnunetv2_dycon"
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 1, "--no-python", command, "train")
    arguments = (701, "3d_fullres", fold, "-tr", "nnUNetTrainerDyCONShort", "-device", runner.device)
    runner.run("torchrun", "one process, NCCL", sys.executable, *launch, *arguments)


def _predict(runner: Runner) -> None:
    images, labels = (runner.raw / DATASET.name / name for name in ("imagesTs", "labelsTs"))
    model = (
        "-d",
        701,
        "-c",
        "3d_fullres",
        "-f",
        0,
        "-tr",
        "nnUNetTrainerDyCONShort",
        "-device",
        runner.device,
    )
    predictions = runner.work / "predictions" / "test"
    runner.run("predict", "nnUNetv2_predict", "nnUNetv2_predict", "-i", images, "-o", predictions, *model)
    runner.run(
        "predict", "uncertainty", "nnunetv2_dycon", "uncertainty", "-i", images, "-o", f"{predictions}_u", *model
    )
    result = runner.results / DATASET.name / "nnUNetTrainerDyCONShort__nnUNetPlans__3d_fullres"
    files = ("-djfile", result / "dataset.json", "-pfile", result / "plans.json")
    runner.run("predict", "evaluate", "nnUNetv2_evaluate_folder", labels, predictions, *files)
    dice = json.loads((predictions / "summary.json").read_text())["foreground_mean"]["Dice"]
    print(f"Dice of the predictions: {dice:.3f}", flush=True)


if __name__ == "__main__":
    main()
