"""Make a dataset with few labels from a fully labeled one, for honest experiments."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json
from tqdm import tqdm

from nnunetv2_dycon.datasets.names import dataset_description, folders_of_dataset, new_dataset_name, raw_folder
from nnunetv2_dycon.datasets.protocol import Protocol, random_protocol, read_protocol
from nnunetv2_dycon.datasets.raw_dataset import LabeledDataset, read_labeled_dataset
from nnunetv2_dycon.datasets.raw_file_names import place_images, place_labels
from nnunetv2_dycon.exceptions import UserError, counted
from nnunetv2_dycon.files import copy_files, scratch_folder

DEFAULT_TEST_FRACTION = 0.25
RECORD = "simulate.json"


def simulate(
    source_folder: Path,
    output: str,
    labeled: int,
    *,
    protocol_file: Path | None = None,
    test_fraction: float | None = None,
    seed: int = 12345,
    channel_name: str | None = None,
    label_names: Sequence[str] | None = None,
    copy: bool = False,
    overwrite: bool = False,
    show_progress: bool = True,
) -> Path:
    """Make a raw dataset with ``labeled`` labeled cases; the rest of the training cases come without labels.

    The labels of the unlabeled cases are not in the new dataset, so that neither nnU-Net's fingerprint and planning nor
    training can see them. Here they are not opened either.

    Args:
        source_folder: a labeled dataset in one of the layouts of :func:`read_labeled_dataset`.
        output: ID or name of the new dataset in nnUNet_raw.
        labeled: number of labeled cases: the first ones of the protocol's ``train``.
        protocol_file: JSON file with ``train`` and ``test``. ``None``: ``protocol.json`` in the source where there is
            one and no ``test_fraction`` is given, else a random protocol.
        test_fraction: share of the training cases that a random protocol sets aside for testing. ``None``: the source's
            own labeled test set where there is one, else 0.25.
        seed: seed of the random protocol.
        channel_name: nnU-Net's channel name, such as MRI or CT; needed exactly where the source has no dataset.json.
        label_names: names of the labels 1, 2, …; only where the source has no dataset.json.
        copy: copy images and labels instead of making symbolic links to them.
        overwrite: replace a dataset of the same name that an earlier run made, with its preprocessed data.
        show_progress: show a progress bar.

    Scans that the source has in ``imagesUnlabeled`` are left out: nobody knows their labels.

    Returns:
        Folder of the new dataset; ``simulate.json`` in it records source, seed and the cases' roles.

    Raises:
        UserError: if anything about the source, protocol, options or the place to write to is wrong. Nothing has been
            changed then.
    """
    source = read_labeled_dataset(source_folder)
    protocol, protocol_origin = _protocol(source, protocol_file, test_fraction, seed)
    if not 1 <= labeled <= len(protocol.train):
        raise UserError(
            f"-n must lie between 1 and {len(protocol.train)}, the number of training cases without those of the "
            f"test set, and is {labeled}"
        )
    labeled_names, unlabeled_names = protocol.train[:labeled], protocol.train[labeled:]
    _check_files(source, (*labeled_names, *protocol.test), unlabeled_names)
    name = new_dataset_name(output, f"{dataset_description(source_folder.resolve().name)}_{labeled}labeled")
    target = raw_folder() / name
    stale = _folders_to_replace(target, source_folder, overwrite)
    dataset_json = _dataset_json(source, labeled_names, channel_name, label_names)
    dataset_json |= {"name": name, "numTraining": labeled}
    if "numTest" in dataset_json:
        dataset_json["numTest"] = len(protocol.test)
    record = {
        "source": str(source_folder.resolve()),
        "protocol": protocol_origin,
        "labeled": labeled_names,
        "unlabeled": unlabeled_names,
        "train": protocol.train,
        "test": protocol.test,
    }

    with scratch_folder(target) as scratch:
        partial = scratch / target.name
        files = [
            *_files(source, labeled_names, partial / "imagesTr", partial / "labelsTr"),
            *_files(source, unlabeled_names, partial / "imagesUnlabeled", None),
            *_files(source, protocol.test, partial / "imagesTs", partial / "labelsTs"),
        ]
        _refuse_files_in(stale, (file for file, _ in files))
        copy_files(tqdm(files, desc="copy" if copy else "link", unit="file", disable=not show_progress), link=not copy)
        save_json(dataset_json, str(partial / "dataset.json"), sort_keys=False)
        save_json(record, str(partial / RECORD), sort_keys=False)
        with _replaced(stale):
            partial.rename(target)
    return target


def _protocol(
    source: LabeledDataset, file: Path | None, test_fraction: float | None, seed: int
) -> tuple[Protocol, dict[str, str | int | float]]:
    """The protocol to follow, and where it comes from."""
    if file is not None and test_fraction is not None:
        raise UserError("--protocol and --test_fraction exclude each other: the protocol says which cases test")
    if seed < 0:
        raise UserError(f"--seed must be at least 0, not {seed}")
    if file is None and test_fraction is None and (source.folder / "protocol.json").is_file():
        file = source.folder / "protocol.json"
    if file is not None:
        return read_protocol(file, source.cases), {"file": str(file.resolve())}
    if test_fraction is None and source.test:
        training = random_protocol(source.training, test_fraction=0.0, seed=seed).train
        return Protocol(training, tuple(source.test)), {"seed": seed, "test": "the labeled test set of the source"}
    fraction = DEFAULT_TEST_FRACTION if test_fraction is None else test_fraction
    protocol = random_protocol(source.training, test_fraction=fraction, seed=seed)
    return protocol, {"seed": seed, "test_fraction": fraction}


def _check_files(source: LabeledDataset, labeled: tuple[str, ...], unlabeled: tuple[str, ...]) -> None:
    """See that all images exist, and the labels that are needed."""
    needed = [image for name in (*labeled, *unlabeled) for image in source.cases[name].images]
    needed += [source.cases[name].label for name in labeled]
    if missing := [file for file in needed if not file.is_file()]:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise UserError(
            f"the file {missing[0]}{more} is missing: add it, or leave its case out with --protocol FILE, a JSON file "
            f"with the lists 'train' and 'test'"
        )


def _folders_to_replace(target: Path, source_folder: Path, overwrite: bool) -> list[Path]:
    """Folders of an earlier run that have to go."""
    existing = folders_of_dataset(target.name)
    if not existing:
        return []
    if source_folder.resolve() == target.resolve():
        raise UserError(f"{target} is the source itself: choose another ID or name with -o")
    if not (target / RECORD).is_file():
        raise UserError(
            f"{existing[0]} exists and was not made by this command: choose another ID or name with -o, or remove it "
            f"yourself"
        )
    if links := [folder for folder in existing if folder.is_symlink()]:
        raise UserError(
            f"{links[0]} is a symbolic link, and --overwrite replaces folders only: choose another ID or name with -o, "
            f"or remove it yourself"
        )
    if not overwrite:
        raise UserError(
            f"{existing[0]} exists: choose another ID or name with -o, or give --overwrite to replace it together with "
            f"its preprocessed data"
        )
    return existing


def _refuse_files_in(folders: Sequence[Path], files: Iterable[Path]) -> None:
    """Refuse files that replacing these folders removes; links of the source can lead there."""
    places = [folder.resolve() for folder in folders]
    if inside := [file for file in files if any(file.resolve().is_relative_to(place) for place in places)]:
        raise UserError(
            f"{inside[0]} is in the dataset that --overwrite replaces, {folders[0]}, or leads there: choose another ID "
            f"or name with -o"
        )


@contextlib.contextmanager
def _replaced(folders: Sequence[Path]) -> Iterator[None]:
    """Folders that are out of the way in this block and removed after it; they are back when it raises."""
    with contextlib.ExitStack() as undo:
        for folder in folders:
            aside = folder.rename(folder.with_name(f".replaced_{folder.name}"))
            undo.callback(aside.rename, folder)
        yield
        undo.pop_all()
    for folder in folders:
        shutil.rmtree(folder.with_name(f".replaced_{folder.name}"))


def _dataset_json(
    source: LabeledDataset, labeled: Iterable[str], channel_name: str | None, label_names: Sequence[str] | None
) -> dict[str, Any]:
    """Contents of dataset.json but for the dataset's name and number of cases."""
    if source.dataset_json is not None:
        if channel_name is not None or label_names is not None:
            raise UserError(
                f"--channel_name and --labels are for datasets without dataset.json: change "
                f"{source.folder / 'dataset.json'} instead"
            )
        return {key: value for key, value in source.dataset_json.items() if key != "dataset"}
    if channel_name is None:
        raise UserError(
            f"{source.folder} has no dataset.json that tells what the images are: give --channel_name, such as MRI or "
            f"CT. nnU-Net normalises CT by its Hounsfield units, and everything else scan by scan"
        )
    labels = _name_labels([source.cases[name].label for name in labeled], label_names)
    return {"channel_names": {"0": channel_name}, "labels": labels, "file_ending": source.file_ending}


def _name_labels(label_files: Sequence[Path], names: Sequence[str] | None) -> dict[str, int]:
    """nnU-Net's ``labels`` for the label values that occur in the given files: name to value, with ``background`` 0."""
    values = {value for file in label_files for value in _label_values(file)}
    highest = max(values | {1})
    if names is None:
        if missing := sorted(set(range(1, highest + 1)) - values):
            raise UserError(
                f"the labeled cases contain the labels {sorted(values)}: {missing[0]} is missing, and nnU-Net needs "
                f"consecutive ones. Name all labels from 1 on with --labels, or label more cases (-n)"
            )
        names = [f"class_{value}" for value in range(1, highest + 1)]
    elif highest > len(names):
        raise UserError(
            f"--labels names {counted(len(names), 'label')}, but the labeled cases contain the label {highest}"
        )
    if len({"background", *names}) != len(names) + 1:
        raise UserError("--labels must give every label from 1 on a name of its own, other than background")
    return {"background": 0} | {name: value for value, name in enumerate(names, start=1)}


def _label_values(file: Path) -> set[int]:
    try:
        found = np.unique(sitk.GetArrayFromImage(sitk.ReadImage(str(file))))
    except RuntimeError as error:
        raise UserError(f"the label file {file} cannot be read: replace it ({error})") from error
    if not np.all((found >= 0) & (found == np.floor(found))):
        raise UserError(f"the label file {file} holds values that are not whole numbers from 0 on: correct it")
    return {int(value) for value in found}


def _files(
    source: LabeledDataset, names: Iterable[str], images_folder: Path, labels_folder: Path | None
) -> Iterator[tuple[Path, Path]]:
    cases = {name: source.cases[name] for name in names}
    yield from place_images({name: case.images for name, case in cases.items()}, images_folder, source.file_ending)
    if labels_folder is not None:
        yield from place_labels({name: case.label for name, case in cases.items()}, labels_folder, source.file_ending)
