"""Diagnosis of a dataset in nnUNet_raw: what planning or a training would fail on, or leave out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nnunetv2_dycon.datasets.hidden_files import refuse_hidden_files
from nnunetv2_dycon.datasets.raw_dataset import (
    UnlabeledCase,
    channel_gaps,
    files_of_other_endings,
    files_per_case,
    find_unlabeled_cases,
    labeled_images,
    may_hold_several_channels,
    misnamed_labeled_images,
    misnamed_unlabeled_folder,
    missing_labels,
    surplus_files,
    unlabeled_cases_as_named,
)
from nnunetv2_dycon.datasets.raw_file_names import (
    LABELED_FOLDER_NAME,
    UNLABELED_FOLDER_NAME,
    how_to_rename,
    listed_channels,
)
from nnunetv2_dycon.diagnosis.finding import Finding, problems_of
from nnunetv2_dycon.exceptions import counted, is_or_are, listed
from nnunetv2_dycon.self_training.record import is_pseudo_labeled


def diagnose_raw_data(
    folder: Path,
    dataset_json: dict[str, Any],
    *,
    off_limits: Collection[str] = (),
    preprocessed: Collection[str] = (),
    is_planned: bool = False,
    trainer: str | None = None,
) -> Iterator[Finding]:
    """Look at the cases of a dataset, before it is planned and after. No label is opened.

    Args:
        folder: ``nnUNet_raw/DatasetXXX_NAME``.
        dataset_json: its content, or that of the copy that was made in planning.
        off_limits: cases in imagesTr that no training may use the labels of.
        preprocessed: cases whose images and labels need not be there any more.
        is_planned: whether what only planning reads does not matter any more.
        trainer: name of the one that is meant; None for none.
    """
    images = labeled_images(folder, dataset_json)
    unlabeled = unlabeled_cases_as_named(folder, dataset_json["file_ending"])
    labeled = images.keys() - set(off_limits)
    yield Finding(
        f"{len(labeled)} labeled and {len(unlabeled) + len(images) - len(labeled)} unlabeled cases",
    )
    if not labeled and not preprocessed:
        place = folder / LABELED_FOLDER_NAME
        yield Finding(f"there are no labeled cases in {place}: nnU-Net needs some to learn from", is_problem=True)
    if len(labeled) == len(images) and not unlabeled:
        yield _without_unlabeled(folder, dataset_json, trainer)
    elif question := misnamed_unlabeled_folder(folder):
        yield Finding(f"there is no {folder / UNLABELED_FOLDER_NAME}. {question}", is_problem=True)
    yield from _cases_in_both(images, unlabeled)
    yield from _misnamed_files(folder, dataset_json)
    yield from _wrong_files(images, unlabeled, dataset_json)
    yield from _missing_images(images, unlabeled, preprocessed)
    ending = dataset_json["file_ending"]
    checks: list[Callable[[], object]] = [partial(find_unlabeled_cases, folder, ending)]
    if "dataset" not in dataset_json:  # else nnU-Net takes the files that it lists
        checks.append(partial(refuse_hidden_files, folder / LABELED_FOLDER_NAME, ending))
    yield from problems_of(checks)
    needed = labeled - set(preprocessed)
    if missing := [str(file) for case, file in missing_labels(folder, dataset_json).items() if case in needed]:
        text = f"{listed(missing)} {is_or_are(missing)} not there"
        yield Finding(f"{text}: add what is missing, or remove the images", is_problem=True)
    if not is_planned:
        yield from _number_of_cases(folder, dataset_json, len(images))


def _without_unlabeled(folder: Path, dataset_json: Mapping[str, Any], trainer: str | None) -> Finding:
    if is_pseudo_labeled(folder):
        made = "the dataset was made by self-training, so all its scans have labels"
        if trainer is None:
            return Finding(f"{made}: train it as self-train does, with a trainer of nnU-Net")
        remedy = "train a trainer of nnU-Net, as self-train does, and look at it here without -tr"
        return Finding(f"{made}, and {trainer} needs unlabeled ones: {remedy}", is_problem=True)
    place, question = folder / UNLABELED_FOLDER_NAME, misnamed_unlabeled_folder(folder)
    if "ignore" in dataset_json["labels"] and question is None:
        return Finding(
            f"there are no scans in {place}: a training looks at its start for training cases with the ignore "
            "label, whose ignored voxels are unlabeled data, and needs at least one"
        )
    return Finding(f"there are no scans in {place}. {question or 'Put some there.'}", is_problem=True)


def _cases_in_both(labeled: Collection[str], unlabeled: Sequence[UnlabeledCase]) -> Iterator[Finding]:
    if both := sorted({case.identifier for case in unlabeled}.intersection(labeled)):
        places = f"in {LABELED_FOLDER_NAME} and in {UNLABELED_FOLDER_NAME}"
        yield Finding(f"{listed(both)}: {places}; remove one of the two", is_problem=True)


def _misnamed_files(folder: Path, dataset_json: Mapping[str, Any]) -> Iterator[Finding]:
    """Findings on files of imagesTr that nnU-Net takes for something else, or for nothing."""
    if misnamed := misnamed_labeled_images(folder, dataset_json):
        ending = dataset_json["file_ending"]
        text = f"{listed(file.name for file in misnamed)} of {folder / LABELED_FOLDER_NAME} {is_or_are(misnamed)}"
        yield Finding(
            f"{text} not named like a scan, which is CASE_0000{ending}: rename or remove what is not", is_problem=True
        )
    if passed_over := files_of_other_endings(folder, dataset_json):
        text = f"{listed(file.name for file in passed_over)} of {folder / LABELED_FOLDER_NAME}"
        have, it = ("has", "it") if len(passed_over) == 1 else ("have", "them")
        yield Finding(
            f"{text} {have} another file ending than {dataset_json['file_ending']}: nnU-Net passes over {it}",
            is_note=True,
        )
    for case, files in channel_gaps(folder, dataset_json).items():
        text = f"{folder / LABELED_FOLDER_NAME}/{case}* has the channels {listed_channels(files)}"
        rename = how_to_rename(next(iter(files.values())), dataset_json["file_ending"])
        yield Finding(f"{text}: add the missing files, or remove the case. {rename}", is_problem=True)


def _wrong_files(
    labeled: Mapping[str, Sequence[Path]],
    unlabeled: Sequence[UnlabeledCase],
    dataset_json: dict[str, Any],
) -> Iterator[Finding]:
    """Findings on cases with too few images or too many."""
    several = may_hold_several_channels(dataset_json["file_ending"])
    if several and not labeled:
        return
    files, noun = files_per_case(labeled.values(), dataset_json), "file" if several else "channel"
    of_both: dict[str, Mapping[str, Sequence[Path]]] = {
        LABELED_FOLDER_NAME: labeled,
        UNLABELED_FOLDER_NAME: {case.identifier: case.images for case in unlabeled},
    }
    for name, of_folder in of_both.items():
        if cases := [case for case, of_case in of_folder.items() if len(of_case) < files]:
            text = f"{name}: {listed(sorted(cases))} with fewer than {counted(files, noun)}"
            yield Finding(f"{text}: add the missing files, or remove these cases", is_problem=True)
    if cases := [case for case, of_case in labeled.items() if len(of_case) > files]:
        text = f"{LABELED_FOLDER_NAME}: {listed(sorted(cases))} with more than {counted(files, noun)}"
        example = how_to_rename(labeled[cases[0]][-1], dataset_json["file_ending"])
        yield Finding(f"{text}: remove what is too much, or name it in channel_names. {example}", is_problem=True)
    for case in unlabeled:
        if sentence := surplus_files(case, dataset_json):
            yield Finding(f"the unlabeled case {case.identifier} cannot be used: {sentence}", is_problem=True)
        elif several and len(case.images) > files:
            text = f"{UNLABELED_FOLDER_NAME}: {case.identifier} has {counted(len(case.images), 'file')}"
            yield Finding(f"{text}, and labeled cases have {files}: remove what is too much", is_problem=True)


def _missing_images(
    labeled: Mapping[str, Sequence[Path]],
    unlabeled: Sequence[UnlabeledCase],
    preprocessed: Collection[str],
) -> Iterator[Finding]:
    cases = [*labeled.items(), *((case.identifier, case.images) for case in unlabeled)]
    needed = (image for identifier, images in cases if identifier not in preprocessed for image in images)
    if missing := [str(image) for image in needed if not image.is_file()]:
        link, it = ("a link", "it") if len(missing) == 1 else ("links", "them")
        text = f"{listed(missing)} {is_or_are(missing)} not there, or {link} to nothing"
        yield Finding(f"{text}: correct or remove {it}", is_problem=True)


def _number_of_cases(folder: Path, dataset_json: Mapping[str, Any], found: int) -> Iterator[Finding]:
    if "numTraining" not in dataset_json:
        yield Finding(f"dataset.json has no numTraining, which nnU-Net plans with: write {found}", is_problem=True)
    elif dataset_json["numTraining"] != found:
        text = f"dataset.json has numTraining {dataset_json['numTraining']}, and {folder} {found}"
        yield Finding(f"{text} labeled cases: correct the one that is wrong", is_problem=True)
