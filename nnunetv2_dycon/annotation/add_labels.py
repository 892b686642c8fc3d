"""Making labeled cases of unlabeled ones, all or none of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nnunetv2_dycon.annotation.finished_labels import check_label, find_finished_labels
from nnunetv2_dycon.datasets.names import existing_dataset_folder, preprocessed_folder
from nnunetv2_dycon.datasets.raw_dataset import UnlabeledCase, find_unlabeled_cases, labeled_images, number_of_channels
from nnunetv2_dycon.datasets.raw_file_names import (
    LABELED_FOLDER_NAME,
    UNLABELED_FOLDER_NAME,
    place_images,
    place_labels,
)
from nnunetv2_dycon.datasets.schemas import check_dataset_json
from nnunetv2_dycon.datasets.splits import (
    SPLITS_FILE,
    UNLABELED_KEY,
    Split,
    off_limits_cases_of_all_folds,
    read_splits,
)
from nnunetv2_dycon.exceptions import UserError, counted
from nnunetv2_dycon.files import explained_write_errors, hash_file, scratch_folder, written_aside
from nnunetv2_dycon.json_files import read_json_file

LABELS_FOLDER_NAME = "labelsTr"


@dataclass(frozen=True)
class AddedLabels:
    """What became of a folder of labels.

    Attributes:
        dataset: full name of the dataset.
        added: cases that are labeled now.
        added_before: cases whose label had been added, the same bytes.
        unchanged: see FinishedLabels.
        others: see FinishedLabels.
        number: of labeled cases now.
        splits_file: whose folds train on the added cases now; None where nnU-Net has made no folds yet.
    """

    dataset: str
    added: list[str]
    added_before: list[str]
    unchanged: list[str]
    others: list[Path]
    number: int
    splits_file: Path | None


@dataclass
class _Changes:
    """What is to be done, once everything is checked.

    Attributes:
        new_files: pairs of a file and its new place, none of which is there.
        removed: files that go, since their copies are in place.
        texts: the new content of files that are replaced.
    """

    new_files: list[tuple[Path, Path]] = field(default_factory=list)
    removed: list[Path] = field(default_factory=list)
    texts: dict[Path, str] = field(default_factory=dict)


def add_labels(name_or_id: str, folder: Path, cases: Sequence[str] = ()) -> AddedLabels:
    """Move scans from ``imagesUnlabeled`` to ``imagesTr`` and copy their labels to ``labelsTr``.

    ``numTraining`` of dataset.json, its list of files where it has one, and the folds of splits_final.json follow: new
    cases join the training cases of every fold, so that validation cases stay what they were. No file is overwritten
    but these two. The folder of labels stays as it is.

    When something fails, all is as before. What a killed process has left is completed by calling again.

    Args:
        name_or_id: of a dataset in nnUNet_raw.
        folder: with the labels, see find_finished_labels.
        cases: to take; empty for all that are finished.

    Raises:
        UserError: for labels that do not fit their scan or the dataset, cases that are not unlabeled or have another
            label, and folders that cannot be written to. Nothing has been changed then.
    """
    raw = existing_dataset_folder(name_or_id)
    splits_file = preprocessed_folder() / raw.name / SPLITS_FILE
    dataset_json = read_json_file(raw / "dataset.json")
    check_dataset_json(dataset_json, str(raw / "dataset.json"))
    ending = dataset_json["file_ending"]
    labeled = labeled_images(raw, dataset_json)
    splits = read_splits(splits_file)
    off_limits = off_limits_cases_of_all_folds(splits_file)
    unlabeled = {case.identifier: case for case in find_unlabeled_cases(raw, ending)}
    found = find_finished_labels(folder, ending, raw.name, cases)
    added, added_before = [], []
    for case, file in found.finished.items():
        label = raw / LABELS_FOLDER_NAME / f"{case}{ending}"
        _refuse_another_label(case, file, label, off_limits)
        if case in unlabeled:
            added.append(case)
        elif case in labeled and label.exists():
            added_before.append(case)
        else:
            raise UserError(
                f"{file} is the label of no scan in {raw / UNLABELED_FOLDER_NAME}: name it like its scan, without "
                "_0000, or remove it."
            )
    number = len(labeled.keys() | set(added))
    result = AddedLabels(
        raw.name, added, added_before, found.unchanged, found.others, number, splits_file if splits else None
    )
    if not added:
        return result
    # What a killed process has left may lack channels in either folder.
    counts = {len(images) for case, images in labeled.items() if case not in unlabeled}
    files = counts.pop() if len(counts) == 1 else number_of_channels(dataset_json)
    new_cases = [unlabeled[case] for case in added]
    _check_files([case for case in new_cases if len(labeled.get(case.identifier, ())) != files], files)
    for case in tqdm(added, desc="Checking labels", unit="case"):
        check_label(found.finished[case], unlabeled[case].images, dataset_json)
    labels = {case: found.finished[case] for case in added}
    changes = _plan(raw, {**dataset_json, "numTraining": number}, files, new_cases, labels)
    if splits:
        changes.texts[splits_file] = _json(add_to_training(splits, added))
    with explained_write_errors(raw):
        _apply(raw, changes)
    return result


def add_to_training(splits: Sequence[Split], cases: Sequence[str]) -> list[Split]:
    """Folds with more training cases; a case on which a fold validates stays there, and none is off limits."""
    changed = []
    for split in splits:
        known = {*split["train"], *split["val"]}
        new: Split = {**split, "train": [*split["train"], *[case for case in cases if case not in known]]}
        if UNLABELED_KEY in split:
            new[UNLABELED_KEY] = [case for case in split[UNLABELED_KEY] if case not in cases]
        changed.append(new)
    return changed


def _refuse_another_label(case: str, file: Path, target: Path, off_limits: Sequence[str]) -> None:
    if not target.exists() or hash_file(file) == hash_file(target):
        return
    if case in off_limits:
        raise UserError(
            f'{target} is there, and its case is off limits in {SPLITS_FILE}: move {case} from "{UNLABELED_KEY}" to '
            '"train" to use that label, or remove the label first.'
        )
    raise UserError(f"{target} is another label of {case}, and none is overwritten: remove one of the two.")


def _check_files(cases: Sequence[UnlabeledCase], number: int) -> None:
    for case in cases:
        if len(case.images) != number:
            raise UserError(
                f"{case.images[0]}: its case has {counted(len(case.images), 'image file')}, and labeled cases have "
                f"{number}: add or remove files."
            )
        if missing := [image for image in case.images if not image.is_file()]:
            raise UserError(f"{missing[0]} is not there: correct the link, or remove the case.")


def _plan(
    raw: Path, dataset_json: dict[str, Any], num_images: int, cases: Sequence[UnlabeledCase], labels: dict[str, Path]
) -> _Changes:
    ending, changes = dataset_json["file_ending"], _Changes()
    # Labels first: one without a scan is nothing to nnU-Net.
    places = [
        *place_labels(labels, raw / LABELS_FOLDER_NAME, ending),
        *place_images({case.identifier: case.images for case in cases}, raw / LABELED_FOLDER_NAME, ending),
    ]
    for file, place in places:
        if not os.path.lexists(place):
            changes.new_files.append((file, place))
        elif not place.is_file() or hash_file(place) != hash_file(file):
            raise UserError(f"{place} is there, another file than {file}, and none is overwritten: remove one of both.")
    # The first channel goes last, so that a case is known as long as a file of it is there.
    changes.removed = [file for case in cases for file in reversed(case.files)]
    if "dataset" in dataset_json:
        listed = {
            case.identifier: {
                "images": [
                    f"{LABELED_FOLDER_NAME}/{case.identifier}_{channel:04d}{ending}" for channel in range(num_images)
                ],
                "label": f"{LABELS_FOLDER_NAME}/{case.identifier}{ending}",
            }
            for case in cases
        }
        dataset_json = {**dataset_json, "dataset": dataset_json["dataset"] | listed}
    changes.texts[raw / "dataset.json"] = _json(dataset_json)
    return changes


def _apply(raw: Path, changes: _Changes) -> None:
    """Copy, then rename, so that what can fail for want of space has been done before anything is seen to change."""
    with contextlib.ExitStack() as stack:
        # In the folders themselves, which may lie on other disks. nnU-Net looks at files only.
        scratch = {
            name: stack.enter_context(scratch_folder(raw / name / "added"))
            for name in (LABELS_FOLDER_NAME, LABELED_FOLDER_NAME, UNLABELED_FOLDER_NAME)
        }
        staged = [(scratch[place.parent.name] / place.name, place) for _, place in changes.new_files]
        for (file, _), (partial, place) in zip(changes.new_files, staged, strict=True):
            if place.parent.name == LABELED_FOLDER_NAME:
                _link_or_copy(file, partial)
            else:
                shutil.copyfile(file, partial)
        with _undone_on_error() as undo:
            for partial, place in staged:
                # Before the deed, so that a signal between the two finds it.
                undo.callback(_take_back, partial, place)
                if os.path.lexists(place):
                    raise UserError(f"{place} was written meanwhile: start again when nothing else writes there.")
                partial.rename(place)
            for file, text in changes.texts.items():
                undo.callback(_write, file, file.read_text(encoding="utf-8"))
                _write(file, text)
            for file in changes.removed:
                gone = scratch[UNLABELED_FOLDER_NAME] / file.name
                undo.callback(_put_back, gone, file)
                file.rename(gone)


@contextlib.contextmanager
def _undone_on_error() -> Iterator[contextlib.ExitStack]:
    """A stack of callbacks that are called, the last one first, when the block raises."""
    with contextlib.ExitStack() as undo:
        yield undo
        undo.pop_all()


def _take_back(partial: Path, place: Path) -> None:
    if not os.path.lexists(partial):
        place.unlink()


def _put_back(gone: Path, file: Path) -> None:
    if os.path.lexists(gone):
        gone.rename(file)


def _write(file: Path, text: str) -> None:
    with written_aside(file) as partial:
        partial.write_text(text, encoding="utf-8")


def _link_or_copy(file: Path, target: Path) -> None:
    """Another name for the same data where the disk has such, else a copy; a link stays a link."""
    if file.is_symlink():
        target.symlink_to(file.resolve())
        return
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)


def _json(content: Any) -> str:
    # As nnU-Net writes them.
    return json.dumps(content, indent=4, ensure_ascii=False)
