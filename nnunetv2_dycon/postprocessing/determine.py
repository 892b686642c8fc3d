"""nnU-Net's postprocessing, decided by the labels where they are too few for a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from batchgenerators.utilities.file_and_folder_operations import save_pickle
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

from nnunetv2_dycon.datasets.raw_dataset import read_labeled_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import written_aside
from nnunetv2_dycon.postprocessing.largest_components import Structure, labels_of, structures_of_one_component


class Postprocessing(NamedTuple):
    """What was decided.

    Attributes:
        structures: those of which predictions keep their largest connected component alone, in the order in which they
            are looked at.
        dataset_json: of the dataset.
        num_cases: how many labeled cases it was decided by.
    """

    structures: list[Structure]
    dataset_json: dict[str, Any]
    num_cases: int


def determine_postprocessing(raw_dataset_folder: Path, output: Path) -> Postprocessing:
    """Write a file for ``nnUNetv2_apply_postprocessing -pp_pkl_file``.

    As nnU-Net's ``determine_postprocessing``, which keeps the largest component of a structure where that raises the
    Dice of a cross-validation. Here it is kept where the labeled cases have one component each; see
    :mod:`nnunetv2_dycon.postprocessing.largest_components`. Where there is no such structure, the file tells nnU-Net to
    leave predictions as they are, as its own would.

    Args:
        raw_dataset_folder: ``nnUNet_raw/DatasetXXX_NAME``.
        output: the file to write. It must not be there yet.

    Raises:
        UserError: if the output is there, the dataset has no dataset.json, or a label cannot be read.
    """
    if output.exists():
        raise UserError(f"{output} is there already: remove it or choose another name.")
    dataset = read_labeled_dataset(raw_dataset_folder)
    if dataset.dataset_json is None:
        raise UserError(f"{raw_dataset_folder} has no dataset.json: bring it into nnU-Net's raw layout first")
    files = [case.label for case in dataset.training.values()]
    structures = structures_of_one_component(labels_of(files), dataset.dataset_json)
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(output) as aside:
        save_pickle(as_nnunet_has_it(structures), str(aside))
    return Postprocessing(structures, dataset.dataset_json, len(files))


def as_nnunet_has_it(structures: Sequence[Structure]) -> tuple[list[Any], list[dict[str, Any]]]:
    """Functions and their arguments, as nnU-Net's ``apply_postprocessing`` takes them."""
    options = [{"labels_or_regions": list(structure)} for structure in structures]
    return [remove_all_but_largest_component_from_segmentation] * len(options), options
