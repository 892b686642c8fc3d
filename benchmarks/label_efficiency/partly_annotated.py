"""A partly annotated dataset from a fully labeled one: in training labels, all but every n-th slice is to be ignored.

``python -m benchmarks.label_efficiency.partly_annotated --data FOLDER --cases 8 --output SOURCE`` writes a dataset for
``python -m benchmarks.label_efficiency run --data SOURCE --budgets all``: there are no further scans. Test labels stay
whole. Where FOLDER has no ``dataset.json``, ``--preset`` names channel and labels.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from benchmarks.common.command_line import exit_code_of, make_parser
from benchmarks.label_efficiency.presets import PRESETS, Preset
from benchmarks.label_efficiency.protocols import add_held_out_argument, derive_protocol
from benchmarks.label_efficiency.runs import write_whole_json
from nnunetv2_dycon.datasets.protocol import Protocol, read_protocol
from nnunetv2_dycon.datasets.raw_dataset import LabeledDataset, read_labeled_dataset
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import copy_files, written_aside


def write_partly_annotated_dataset(
    source_folder: Path,
    output: Path,
    *,
    cases: int,
    every: int = 5,
    held_out: int = 0,
    preset: Preset | None = None,
) -> None:
    """Write a dataset in nnU-Net's raw layout, with an ignore label and a ``protocol.json``.

    Slices are those of the file's third axis, the first one of an array; each case keeps the slices in the middle of
    each run of ``every``.

    Args:
        source_folder: a fully labeled dataset with a ``protocol.json``.
        output: the folder to write; it must not be there.
        cases: how many of the protocol's training cases, from the first on, become the training cases.
        every: keep every how manieth slice.
        held_out: see :func:`~benchmarks.label_efficiency.protocols.derive_protocol`.
        preset: names channel and labels of a dataset without ``dataset.json``. The ignore label is the next one.

    Raises:
        UserError: if there is no such dataset, it has too few cases, regions or an ignore label, nothing names its
            labels or they have other values, no slice of a case would be kept, or `output` is there.
    """
    source = read_labeled_dataset(source_folder)
    whole = read_protocol(source_folder / "protocol.json", source.cases)
    whole = derive_protocol(whole, held_out=held_out)
    if not 1 <= cases <= len(whole.train):
        raise UserError(f"--cases must be between 1 and {len(whole.train)}, and is {cases}")
    if every < 1:
        raise UserError(f"--every must be at least 1, and is {every}")
    if output.exists():
        raise UserError(f"{output} exists: choose another --output")
    protocol = Protocol(whole.train[:cases], whole.test)
    content = _content_of_dataset_json(source, preset)
    ignore_label = len(content["labels"])
    content["labels"]["ignore"] = ignore_label
    with written_aside(output) as partial:
        copy_files(_whole_files(source, protocol, partial), link=True)
        (partial / "labelsTr").mkdir()
        for name in protocol.train:
            target = partial / "labelsTr" / f"{name}{source.file_ending}"
            label = sitk.ReadImage(str(source.cases[name].label))
            _check_label(sitk.GetArrayViewFromImage(label), source.cases[name].label, every, ignore_label)
            sitk.WriteImage(keep_every(label, every, ignore_label), str(target))
        write_whole_json(partial / "dataset.json", {**content, "numTraining": cases})
        write_whole_json(partial / "protocol.json", asdict(protocol))


def _content_of_dataset_json(source: LabeledDataset, preset: Preset | None) -> dict[str, Any]:
    if source.dataset_json is not None:
        names = ("channel_names", "modality", "labels", "file_ending", "overwrite_image_reader_writer")
        content = {name: source.dataset_json[name] for name in names if name in source.dataset_json}
        if sorted(map(str, content["labels"].values())) != sorted(map(str, range(len(content["labels"])))):
            raise UserError(f"{source.folder}: labels must be 0, 1, 2, ..., without regions")
        if "ignore" in content["labels"]:
            raise UserError(f"{source.folder} has an ignore label already")
        return {**content, "labels": dict(content["labels"])}
    if preset is None or not preset.label_names:
        raise UserError(f"{source.folder} has no dataset.json: name a preset that names its labels with --preset")
    labels = {"background": 0} | {name: value for value, name in enumerate(preset.label_names, start=1)}
    return {"channel_names": {"0": preset.channel_name}, "labels": labels, "file_ending": source.file_ending}


def _check_label(label: np.ndarray, file: Path, every: int, ignore_label: int) -> None:
    if strange := sorted(set(np.unique(label).tolist()).difference(range(ignore_label))):
        raise UserError(f"{file} has the label {strange[0]:g}, which has no name")
    if len(label) <= every // 2:
        raise UserError(f"{file} has {len(label)} slices, of which --every {every} would keep none")


def keep_every(label: sitk.Image, every: int, ignore_label: int) -> sitk.Image:
    """Set all slices along the third axis to the ignore label but those in the middle of each run of `every`."""
    array = sitk.GetArrayFromImage(label).astype(np.uint8)
    array[np.arange(len(array)) % every != every // 2] = ignore_label
    partly = sitk.GetImageFromArray(array)
    partly.CopyInformation(label)
    return partly


def _whole_files(source: LabeledDataset, protocol: Protocol, folder: Path) -> list[tuple[Path, Path]]:
    """The training images, and images and labels of test cases, each with its place."""
    files = []
    for names, images in ((protocol.train, "imagesTr"), (protocol.test, "imagesTs")):
        for name in names:
            for channel, image in enumerate(source.cases[name].images):
                files.append((image.resolve(), folder / images / f"{name}_{channel:04d}{source.file_ending}"))
    for name in protocol.test:
        files.append((source.cases[name].label.resolve(), folder / "labelsTs" / f"{name}{source.file_ending}"))
    return files


def main(arguments: list[str] | None = None) -> int:
    """Write the dataset that the command line asks for; returns the exit code."""
    parser = make_parser("benchmarks.label_efficiency.partly_annotated", __doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="a fully labeled dataset")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the dataset to write")
    parser.add_argument("--cases", type=int, required=True, metavar="N", help="training cases")
    parser.add_argument("--every", type=int, default=5, metavar="N", help="keep every N-th slice (default: 5)")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="names the labels where there is no dataset.json")
    add_held_out_argument(parser)
    options = parser.parse_args(arguments)
    return exit_code_of(
        lambda: write_partly_annotated_dataset(
            options.data,
            options.output,
            cases=options.cases,
            every=options.every,
            held_out=options.held_out,
            preset=PRESETS.get(options.preset),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
