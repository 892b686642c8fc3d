"""The labels that no method may see, for the oracle arm alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from benchmarks.label_efficiency.files import read_json_file
from benchmarks.label_efficiency.reduced_plans import CONFIGURATION
from nnunetv2_dycon.dataset_conversion.simulate import RECORD
from nnunetv2_dycon.datasets.raw_dataset import read_labeled_dataset


def write_hidden_labels(raw: Path, plans: dict[str, Any], dataset_json: dict[str, Any], folder: Path) -> None:
    """Preprocess the unlabeled cases with their labels, into a folder that no other arm knows.

    Args:
        raw: the raw dataset that the benchmark made; its record tells where the labels are.
        plans: of the training.
        dataset_json: the dataset's dataset.json.
        folder: where to; cases that are there are left.
    """
    record = read_json_file(raw / RECORD)
    source = read_labeled_dataset(Path(record["source"]))
    plans_manager = PlansManager(plans)
    configuration = plans_manager.get_configuration(CONFIGURATION)
    preprocessor = configuration.preprocessor_class(verbose=False)
    folder.mkdir(exist_ok=True)
    for name in record["unlabeled"]:
        case = source.cases[name]
        # Written last of a case.
        if not (folder / f"{name}.pkl").is_file():
            preprocessor.run_case_save(
                str(folder / name),
                [str(image) for image in case.images],
                str(case.label),
                plans_manager,
                configuration,
                dataset_json,
            )


def open_hidden_labels(folder: Path, identifiers: list[str]) -> nnUNetDatasetBlosc2:
    """The preprocessed cases, with their labels.

    Args:
        folder: where :func:`write_hidden_labels` has been.
        identifiers: the cases to use.
    """
    return nnUNetDatasetBlosc2(str(folder), identifiers)
