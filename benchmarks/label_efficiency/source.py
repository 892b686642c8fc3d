"""The fully labeled dataset that the benchmark starts from, and which of its cases are for what."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.label_efficiency.files import write_whole_json
from benchmarks.label_efficiency.workspace import Workspace
from nnunetv2_dycon.dataset_conversion.protocol import Protocol, random_protocol, read_protocol
from nnunetv2_dycon.dataset_conversion.simulate import DEFAULT_TEST_FRACTION
from nnunetv2_dycon.datasets.raw_dataset import LabeledDataset, read_labeled_dataset
from nnunetv2_dycon.exceptions import UserError

ALL = "all"
_PROTOCOL_SEED = 12345


@dataclass(frozen=True)
class Source:
    """A labeled dataset with a protocol.

    Attributes:
        name: in tables and folders.
        folder: where it is.
        has_dataset_json: whether it has nnU-Net's dataset.json.
        protocol: ordered training cases, and test cases.
        protocol_file: the same in the workspace.
    """

    name: str
    folder: Path
    has_dataset_json: bool
    protocol: Protocol
    protocol_file: Path

    def labeled(self, budget: str) -> tuple[str, ...]:
        """The labeled cases of a budget.

        Args:
            budget: their number, or ``all``.

        Raises:
            UserError: if there are not as many training cases.
        """
        number = len(self.protocol.train) if budget == ALL else int(budget)
        if not 1 <= number <= len(self.protocol.train):
            raise UserError(f"--budgets: {budget} is not between 1 and {len(self.protocol.train)}, the training cases")
        return self.protocol.train[:number]

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

    Returns:
        The dataset.

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
    return Source(name, dataset.folder, dataset.dataset_json is not None, protocol, kept)


def _protocol(dataset: LabeledDataset, file: Path | None) -> Protocol:
    own_file = dataset.folder / "protocol.json"
    if file is None and own_file.is_file():
        file = own_file
    if file is not None:
        return read_protocol(file, dataset.cases)
    fraction = 0.0 if dataset.test else DEFAULT_TEST_FRACTION
    protocol = random_protocol(dataset.training, test_fraction=fraction, seed=_PROTOCOL_SEED)
    return Protocol(protocol.train, tuple(dataset.test)) if dataset.test else protocol
