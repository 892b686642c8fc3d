"""The dataset of a budget: a few labeled cases, many unlabeled ones, a test set, planned and preprocessed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.label_efficiency.claims import Claim
from benchmarks.label_efficiency.files import read_json_file, write_whole_json
from benchmarks.label_efficiency.presets import Preset
from benchmarks.label_efficiency.reduced_plans import CONFIGURATION, PLANS_IDENTIFIER, reduce_plans
from benchmarks.label_efficiency.source import Source
from benchmarks.label_efficiency.workspace import Workspace
from nnunetv2_dycon.dataset_conversion.simulate import RECORD, simulate
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import run_nnunet_command

_FIRST_ID, _LAST_ID = 501, 999
_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class BudgetDataset:
    """A dataset of the benchmark, ready for training.

    Attributes:
        name: ``DatasetXXX_SOURCE_BUDGETlabeled``.
        labeled: its labeled cases.
        unlabeled: its unlabeled cases.
        test: its test cases.
    """

    name: str
    labeled: tuple[str, ...]
    unlabeled: tuple[str, ...]
    test: tuple[str, ...]


def prepare_budget_dataset(
    workspace: Workspace,
    source: Source,
    budget: str,
    preset: Preset,
    *,
    environment: Mapping[str, str],
    take_over: bool = False,
) -> BudgetDataset:
    """Make the dataset of a budget, once for all processes that share the workspace.

    Planning sees the labeled cases only; the labels of the unlabeled ones are not in the dataset.

    Args:
        workspace: where to.
        source: what from.
        budget: number of labeled cases, or ``all``.
        preset: of the plans.
        environment: for nnU-Net's commands.
        take_over: whether to take the place of a process that died over it.

    Returns:
        The dataset.

    Raises:
        UserError: if the dataset was made with another preset or protocol, if a process died over it, or if one of
            nnU-Net's commands fails.
    """
    wanted = {
        "source": str(source.folder),
        "labeled": list(source.labeled(budget)),
        "unlabeled": list(source.unlabeled(budget)),
        "test": list(source.protocol.test),
        "plans": {key: asdict(preset)[key] for key in ("patch_size", "features", "batch_size")},
    }
    wanted = json.loads(json.dumps(wanted))
    marker = workspace.root / "datasets" / f"{source.name}_{budget}.json"
    # One at a time in a workspace, since each takes a dataset ID.
    claim = Claim(workspace.root / "datasets" / "preparing.claim")
    said = False
    while not marker.is_file():
        if claim.take(take_over=take_over):
            with claim:
                if not marker.is_file():
                    name = _make(workspace, source, budget, preset, environment)
                    write_whole_json(marker, {"name": name, **wanted})
            break
        if claim.is_stale():
            raise UserError(f"{claim.file}: {claim.describe()} has died over it. Give --take-over to go on")
        if not said:
            print(f"Waiting for {claim.describe()}, which prepares a dataset of this workspace", flush=True)
            said = True
        time.sleep(_WAIT_SECONDS)
    found = read_json_file(marker)
    different = sorted(key for key in wanted if found[key] != wanted[key])
    if different:
        raise UserError(
            f"{marker}: this dataset was made with other {', '.join(different)}. Use another --workspace, or another "
            "--name for the dataset"
        )
    return BudgetDataset(found["name"], *(tuple(found[key]) for key in ("labeled", "unlabeled", "test")))


def read_plans(workspace: Workspace, dataset: str) -> dict[str, Any]:
    """The benchmark's plans for a dataset.

    Args:
        workspace: where it was made.
        dataset: its name in nnU-Net.
    """
    return read_json_file(workspace.preprocessed / dataset / f"{PLANS_IDENTIFIER}.json")


def _make(workspace: Workspace, source: Source, budget: str, preset: Preset, environment: Mapping[str, str]) -> str:
    name = _dataset_name(workspace, f"{source.name}_{budget}labeled")
    labeled = source.labeled(budget)
    print(f"{name}: {len(labeled)} labeled, {len(source.unlabeled(budget))} unlabeled cases", flush=True)
    simulate(
        source.folder,
        name,
        len(labeled),
        protocol_file=source.protocol_file,
        channel_name=None if source.has_dataset_json else preset.channel_name,
        label_names=None if source.has_dataset_json else (preset.label_names or None),
        link=True,
        overwrite=(workspace.raw / name / RECORD).is_file(),
        show_progress=False,
    )
    if environment.get("nnUNet_n_proc_DA") == "0":
        # The planner takes it for a number of threads.
        environment = {**environment, "nnUNet_n_proc_DA": "1"}
    processes = environment["nnUNet_def_n_proc"]
    number = name[7:10]
    run_nnunet_command(
        "nnUNetv2_plan_and_preprocess",
        *("-d", number, "-c", CONFIGURATION, "-np", processes, "-npfp", processes),
        environment=environment,
    )
    folder = workspace.preprocessed / name
    write_whole_json(
        folder / f"{PLANS_IDENTIFIER}.json", reduce_plans(read_json_file(folder / "nnUNetPlans.json"), preset)
    )
    if source.unlabeled(budget):
        run_nnunet_command(
            "nnunetv2_dycon",
            *("preprocess", "-d", number, "-c", CONFIGURATION, "-p", PLANS_IDENTIFIER, "-np", processes),
            environment=environment,
        )
    return name


def _dataset_name(workspace: Workspace, description: str) -> str:
    """The name of an interrupted preparation, or a new one."""
    known = [file.name for folder in (workspace.raw, workspace.preprocessed) for file in folder.glob("Dataset*_*")]
    for name in known:
        if name[11:] == description:
            return name
    taken = {int(name[7:10]) for name in known}
    free = [number for number in range(_FIRST_ID, _LAST_ID + 1) if number not in taken]
    if not free:
        raise UserError(f"{workspace.root} has no dataset ID left: use another --workspace")
    return f"Dataset{free[0]}_{description}"
