"""A dataset whose unlabeled scans have predictions for labels."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import save_json

from nnunetv2_dycon.dataset_conversion.read_json import read_json
from nnunetv2_dycon.dataset_conversion.source_dataset import SourceDataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.preprocessing.case_stamp import hash_file
from nnunetv2_dycon.preprocessing.unlabeled_cases import UNLABELED_FOLDER_NAME, UnlabeledCase
from nnunetv2_dycon.self_training.predictions import check_prediction
from nnunetv2_dycon.self_training.source_cases import read_source_cases

RECORD = "self_training.json"


@dataclass(frozen=True)
class PseudoLabeledDataset:
    """A raw dataset of labeled and pseudo-labeled cases.

    Attributes:
        folder: ``nnUNet_raw/DatasetXXX_NAME``.
        labeled: cases with labels of their own, sorted.
        pseudo_labeled: cases whose labels are predictions, sorted.
    """

    folder: Path
    labeled: list[str]
    pseudo_labeled: list[str]


def write_pseudo_labeled_dataset(
    source_raw: Path, predictions: Path, target_raw: Path, *, link: bool = True
) -> PseudoLabeledDataset:
    """Make a raw dataset of a dataset's labeled cases and of its unlabeled scans with predictions for labels.

    Source: the recipe of self-training (Lee 2013, "Pseudo-Label"), which nnU-Net's maintainers advise for unlabeled
    data. A dataset that an earlier call made from the same labeled cases and predictions is left as it is.

    Args:
        source_raw: raw dataset with ``imagesUnlabeled``.
        predictions: folder with ``CASE`` plus file ending for each case of ``imagesUnlabeled``, as nnUNetv2_predict
            writes them. Other files in it are ignored.
        target_raw: folder to make, ``nnUNet_raw/DatasetXXX_NAME``. ``self_training.json`` in it records where its
            cases come from.
        link: make symbolic links to the source's images and labels, not copies. Predictions are always copied.

    Returns:
        The dataset.

    Raises:
        UserError: if the source has no unlabeled scans or a case that is both labeled and unlabeled, if files or
            predictions are missing or damaged, or if the target is something else. Nothing has been written then.
    """
    cases = read_source_cases(source_raw)
    source, unlabeled = cases.labeled, cases.unlabeled
    predicted = {case.identifier: predictions / (case.identifier + source.file_ending) for case in unlabeled}
    missing = [file for file in predicted.values() if not file.is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(predicted)} predictions are missing, {missing[0]} for one: predict all of "
            f"{UNLABELED_FOLDER_NAME} with nnUNetv2_predict"
        )
    dataset = PseudoLabeledDataset(target_raw, sorted(source.training), sorted(predicted))
    record = {
        "source": source_raw.name,
        "predictions": origin_of_predictions(predictions),
        "labeled": dataset.labeled,
        "pseudo_labeled": dataset.pseudo_labeled,
        "pseudo_labels_sha256": _hash_files(predicted),
    }
    if target_raw.exists():
        _refuse_another_dataset(target_raw, record)
        return dataset
    for file in predicted.values():
        check_prediction(file, source.dataset_json)

    # Built aside and renamed, so that an interrupted run leaves no half a dataset for nnU-Net to find.
    partial = target_raw.with_name(f".partial_{target_raw.name}")
    shutil.rmtree(partial, ignore_errors=True)
    for original, place in _files(source, unlabeled):
        (partial / place).parent.mkdir(parents=True, exist_ok=True)
        if link:
            (partial / place).symlink_to(original.resolve())
        else:
            shutil.copyfile(original, partial / place)
    for identifier, file in predicted.items():
        for original, place in _label_files(file, identifier, source.file_ending):
            shutil.copyfile(original, partial / place)
    dataset_json = {key: value for key, value in source.dataset_json.items() if key != "dataset"}
    dataset_json |= {"name": target_raw.name, "numTraining": len(dataset.labeled) + len(dataset.pseudo_labeled)}
    save_json(dataset_json, str(partial / "dataset.json"), sort_keys=False)
    save_json(record, str(partial / RECORD), sort_keys=False)
    partial.rename(target_raw)
    return dataset


def origin_of_predictions(predictions: Path) -> str:
    """What the record says of a folder of predictions: dataset, model and fold, wherever nnUNet_results is."""
    return "/".join(predictions.absolute().parts[-4:])


def _refuse_another_dataset(folder: Path, record: Mapping[str, Any]) -> None:
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder} exists and was not made by self-training: choose another dataset ID or name with -o")
    there = read_json(folder / RECORD)
    different = sorted(key for key in record if key != "predictions" and there.get(key) != record[key])
    if different:
        raise UserError(
            f"{folder} holds an earlier self-training of other data ({', '.join(different)} differ): choose another "
            "dataset ID or name with -o, or remove it with its preprocessed data and results"
        )


def _files(source: SourceDataset, unlabeled: list[UnlabeledCase]) -> Iterator[tuple[Path, str]]:
    """All files but the pseudo-labels, and their names in the new dataset."""
    ending = source.file_ending
    images = {identifier: case.images for identifier, case in source.training.items()}
    images |= {case.identifier: case.images for case in unlabeled}
    for identifier, files in images.items():
        for channel, image in enumerate(files):
            yield image, f"imagesTr/{identifier}_{channel:04d}{ending}"
        yield from _spacing_file(files[0], f"_0000{ending}", f"imagesTr/{identifier}")
    for identifier, case in source.training.items():
        yield from _label_files(case.label, identifier, ending)


def _label_files(label: Path, identifier: str, ending: str) -> Iterator[tuple[Path, str]]:
    yield label, f"labelsTr/{identifier}{ending}"
    yield from _spacing_file(label, ending, f"labelsTr/{identifier}")


def _spacing_file(file: Path, ending: str, place: str) -> Iterator[tuple[Path, str]]:
    """The JSON file from which nnU-Net reads the spacing of a TIFF, where there is one."""
    spacing = file.with_name(f"{file.name[: -len(ending)]}.json")
    if spacing.is_file():
        yield spacing, f"{place}.json"


def _hash_files(files: Mapping[str, Path]) -> str:
    digest = hashlib.sha256()
    for identifier, file in sorted(files.items()):
        digest.update(f"{identifier} {hash_file(file)}\n".encode())
    return digest.hexdigest()
