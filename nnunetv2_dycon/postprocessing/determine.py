"""nnU-Net's postprocessing, decided by the labels where they are too few for a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from batchgenerators.utilities.file_and_folder_operations import save_pickle
from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

from nnunetv2_dycon.datasets.names import existing_dataset_folder, preprocessed_folder
from nnunetv2_dycon.datasets.raw_dataset import dataset_json_of, missing_labels, read_labeled_dataset
from nnunetv2_dycon.datasets.splits import SPLITS_FILE, off_limits_cases_of_all_folds
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import refuse_existing_output, written_aside
from nnunetv2_dycon.postprocessing.largest_components import (
    Structure,
    read_labels,
    reasons_against_one_component,
    structure_names,
)
from nnunetv2_dycon.self_training.record import is_pseudo_labeled, read_pseudo_labels, read_record


class Postprocessing(NamedTuple):
    """What was decided.

    Attributes:
        kept: names of the structures of which predictions keep their largest connected component alone.
        left: the other structures by name, and why they stay as they are.
        num_cases: how many labeled cases it was decided by.
        num_without_a_say: how many have labels that are predictions or off limits.
    """

    kept: list[str]
    left: dict[str, str]
    num_cases: int
    num_without_a_say: int


def determine_postprocessing(dataset: str, output: Path) -> Postprocessing:
    """Write a file for ``nnUNetv2_apply_postprocessing -pp_pkl_file``.

    As nnU-Net's ``determine_postprocessing``, which keeps the largest component of a structure where that raises the
    Dice of a cross-validation. Here it is kept where the labeled cases have one component each; see
    :func:`nnunetv2_dycon.postprocessing.largest_components.reasons_against_one_component`. Where there is no such
    structure, the file tells nnU-Net to leave predictions as they are, as its own would. Labels that are predictions,
    or that ``splits_final.json`` puts off limits, have no say.

    Args:
        dataset: ID or name.
        output: the file to write. It must not be there yet.

    Raises:
        UserError: if the output is there, the dataset has no dataset.json, or a label is missing or cannot be read.
    """
    if output.is_dir():
        raise UserError(f"{output} is a folder: name a file in it, such as {output / 'postprocessing.pkl'}.")
    refuse_existing_output(output)
    folder = existing_dataset_folder(dataset)
    labeled = read_labeled_dataset(folder)
    dataset_json = dataset_json_of(labeled)
    without_a_say = set(off_limits_cases_of_all_folds(preprocessed_folder() / folder.name / SPLITS_FILE))
    if pseudo_labels := read_pseudo_labels(folder / "dataset.json"):
        without_a_say |= set(pseudo_labels.cases)
    elif is_pseudo_labeled(folder):
        # Of a version whose dataset.json did not say so.
        without_a_say |= set(read_record(folder)["pseudo_labeled"])
    labels = {case: files.label for case, files in labeled.training.items() if case not in without_a_say}
    missing = missing_labels(folder, dataset_json)
    if of_cases := sorted(labels.keys() & missing.keys()):
        raise UserError(f"the label {missing[of_cases[0]]} is missing: add it, or remove its case")
    reasons = reasons_against_one_component(read_labels(labels), dataset_json)
    names = dict(zip(structure_names(list(reasons), dataset_json), reasons.values(), strict=True))
    output.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(output) as aside:
        save_pickle(as_nnunet_has_it([structure for structure in reasons if not reasons[structure]]), str(aside))
    return Postprocessing(
        kept=[name for name, reason in names.items() if not reason],
        left={name: reason for name, reason in names.items() if reason},
        num_cases=len(labels),
        num_without_a_say=len(labeled.training) - len(labels),
    )


def as_nnunet_has_it(structures: Sequence[Structure]) -> tuple[list[Any], list[dict[str, Any]]]:
    """Functions and their arguments, as nnU-Net's ``apply_postprocessing`` takes them, the foreground first."""
    options = [{"labels_or_regions": list(structure)} for structure in structures]
    return [remove_all_but_largest_component_from_segmentation] * len(options), options
