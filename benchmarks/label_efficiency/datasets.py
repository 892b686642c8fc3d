"""The data: a fully labeled source dataset, and the dataset of a budget made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.label_efficiency.claims import Claim
from benchmarks.label_efficiency.presets import PLANS_IDENTIFIER, Preset, reduce_plans
from benchmarks.label_efficiency.runs import Workspace, read_json_file, write_whole_json
from nnunetv2_dycon.datasets.protocol import Protocol, random_protocol, read_protocol
from nnunetv2_dycon.datasets.raw_dataset import LabeledDataset, read_labeled_dataset
from nnunetv2_dycon.datasets.simulate import DEFAULT_TEST_FRACTION, RECORD, simulate
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.nnunet_command import run_nnunet_command

# The budget of all training cases.
ALL = "all"
_PROTOCOL_SEED = 12345
_FIRST_ID, _LAST_ID = 501, 999


@dataclass(frozen=True)
class Source:
    """A labeled dataset with a protocol.

    Attributes:
        name: in tables and folders.
        folder: where it is.
        has_dataset_json: whether it has nnU-Net's dataset.json.
        has_ignore_label: whether training labels may leave voxels out, which are then unlabeled.
        protocol: ordered training cases, and test cases.
        protocol_file: the same in the workspace.
    """

    name: str
    folder: Path
    has_dataset_json: bool
    has_ignore_label: bool
    protocol: Protocol
    protocol_file: Path

    def labeled(self, budget: str) -> tuple[str, ...]:
        """The labeled cases of a budget.

        Args:
            budget: their number, or ``all``.

        Raises:
            UserError: if it is neither, or there are not as many training cases.
        """
        if budget == ALL:
            return self.protocol.train
        if not budget.isdecimal():
            raise UserError(f"--budgets: {budget} is no number of labels, and not {ALL}")
        if not 1 <= int(budget) <= len(self.protocol.train):
            raise UserError(f"--budgets: {budget} is not between 1 and {len(self.protocol.train)}, the training cases")
        return self.protocol.train[: int(budget)]

    def unlabeled(self, budget: str) -> tuple[str, ...]:
        """The training cases that have no label at a budget."""
        return self.protocol.train[len(self.labeled(budget)) :]


def read_source(
    folder: Path, workspace: Workspace, *, name: str | None = None, protocol_file: Path | None = None
) -> Source:
    """Read a dataset and settle its protocol for the workspace.

    Args:
        folder: a raw dataset of nnU-Net, or ``images/CASE.nii.gz`` with ``labels/CASE.nii.gz``.
        workspace: the protocol is kept there, so that all budgets and processes follow the same one.
        name: in tables and folders; None for the folder's own name.
        protocol_file: JSON file with the lists ``train`` and ``test``. None: ``protocol.json`` in the folder where
            there is one, else the folder's labeled test set, else a random quarter for testing.

    Raises:
        UserError: if there is no such dataset, the protocol does not fit it or has no test cases, or the workspace
            follows another one.
    """
    dataset = read_labeled_dataset(folder.resolve())
    name = re.sub(r"^Dataset\d{3}_", "", folder.resolve().name) if name is None else name
    if re.fullmatch(r"[\w.-]+", name) is None:
        raise UserError(f'"{name}" cannot name a dataset: use letters, digits, "-", "." and "_" (--name)')
    protocol = _protocol(dataset, protocol_file)
    if not protocol.test:
        raise UserError(f"{folder}: the protocol has no test cases")
    kept = workspace.root / "protocols" / f"{name}.json"
    if not kept.is_file():
        write_whole_json(kept, asdict(protocol))
    if read_protocol(kept, dataset.cases) != protocol:
        raise UserError(
            f"{kept} differs from the protocol of this run: use another --workspace, or another --name for the dataset"
        )
    dataset_json = dataset.dataset_json
    has_ignore_label = dataset_json is not None and "ignore" in dataset_json["labels"]
    return Source(name, dataset.folder, dataset_json is not None, has_ignore_label, protocol, kept)


def _protocol(dataset: LabeledDataset, file: Path | None) -> Protocol:
    own_file = dataset.folder / "protocol.json"
    if file is None and own_file.is_file():
        file = own_file
    if file is not None:
        return read_protocol(file, dataset.cases)
    fraction = 0.0 if dataset.test else DEFAULT_TEST_FRACTION
    protocol = random_protocol(dataset.training, test_fraction=fraction, seed=_PROTOCOL_SEED)
    return Protocol(protocol.train, tuple(dataset.test)) if dataset.test else protocol


@dataclass(frozen=True)
class BudgetDataset:
    """A few labeled cases, many unlabeled ones and a test set, planned and preprocessed.

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
    workspace: Workspace, source: Source, budget: str, preset: Preset, environment: Mapping[str, str]
) -> BudgetDataset:
    """Make the dataset of a budget, once for all processes that share the workspace.

    Planning sees the labeled cases only; the labels of the unlabeled ones are not in the dataset.

    Args:
        workspace: where to.
        source: what from.
        budget: number of labeled cases, or ``all``.
        preset: of the plans.
        environment: for nnU-Net's commands.

    Raises:
        UserError: if the dataset was made with another preset or protocol, or if one of nnU-Net's commands fails.
    """
    wanted = {
        "source": str(source.folder),
        "labeled": list(source.labeled(budget)),
        "unlabeled": list(source.unlabeled(budget)),
        "test": list(source.protocol.test),
        "plans": {key: asdict(preset)[key] for key in ("configuration", "patch_size", "features", "batch_size")},
    }
    wanted = json.loads(json.dumps(wanted))
    marker = workspace.root / "datasets" / f"{source.name}_{budget}.json"
    if not marker.is_file():
        # One at a time in a workspace, since each takes a dataset ID.
        claim = Claim(workspace.root / "datasets" / "preparing.claim")
        if not claim.take():
            print(f"Waiting for {claim.describe()}, which prepares a dataset of this workspace", flush=True)
            claim.take(timeout=-1)
        with claim:
            if not marker.is_file():
                name = _make_budget_dataset(workspace, source, budget, preset, environment)
                write_whole_json(marker, {"name": name, **wanted})
    found = read_json_file(marker)
    different = sorted(key for key in wanted if found[key] != wanted[key])
    if different:
        raise UserError(
            f"{marker}: this dataset was made with other {', '.join(different)}. Use another --workspace, or another "
            "--name for the dataset"
        )
    return BudgetDataset(found["name"], *(tuple(found[key]) for key in ("labeled", "unlabeled", "test")))


def _make_budget_dataset(
    workspace: Workspace, source: Source, budget: str, preset: Preset, environment: Mapping[str, str]
) -> str:
    name = _dataset_name(workspace, f"{source.name}_{budget}labeled")
    labeled, unlabeled = source.labeled(budget), source.unlabeled(budget)
    print(f"{name}: {len(labeled)} labeled, {len(unlabeled)} unlabeled cases", flush=True)
    simulate(
        source.folder,
        name,
        len(labeled),
        protocol_file=source.protocol_file,
        channel_name=None if source.has_dataset_json else preset.channel_name,
        label_names=None if source.has_dataset_json else (preset.label_names or None),
        overwrite=(workspace.raw / name / RECORD).is_file(),
        show_progress=False,
    )
    if environment.get("nnUNet_n_proc_DA") == "0":
        # The planner takes it for a number of threads.
        environment = {**environment, "nnUNet_n_proc_DA": "1"}
    number, processes = name[7:10], environment["nnUNet_def_n_proc"]
    run_nnunet_command(
        "nnUNetv2_plan_and_preprocess",
        *("-d", number, "-c", preset.configuration, "-np", processes, "-npfp", processes),
        environment=environment,
    )
    folder = workspace.preprocessed / name
    plans = reduce_plans(read_json_file(folder / "nnUNetPlans.json"), preset)
    write_whole_json(folder / f"{PLANS_IDENTIFIER}.json", plans)
    if unlabeled:
        run_nnunet_command(
            "nnunetv2_dycon",
            *("preprocess", "-d", number, "-c", preset.configuration, "-p", PLANS_IDENTIFIER, "-np", processes),
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
    number = next((number for number in range(_FIRST_ID, _LAST_ID + 1) if number not in taken), None)
    if number is None:
        raise UserError(f"{workspace.root} has no dataset ID left: use another --workspace")
    return f"Dataset{number}_{description}"
