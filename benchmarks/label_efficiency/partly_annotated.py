"""A partly annotated dataset from a fully labeled one: in training labels, all but every n-th slice is to be ignored.

``python -m benchmarks.label_efficiency.partly_annotated --data FOLDER --cases 8 --output SOURCE`` writes a dataset for
``python -m benchmarks.label_efficiency run --data SOURCE --budgets all``: there are no further scans. Test labels stay
whole.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks.common.command_line import exit_code_of, make_parser
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
    channel_name: str = "MRI",
    label_names: Sequence[str] = ("anterior", "posterior"),
) -> None:
    """Write a dataset in nnU-Net's raw layout, with an ignore label and a ``protocol.json``.

    Slices are those of the file's third axis, the first one of an array; each case keeps the slices in the middle of
    each run of ``every``.

    Args:
        source_folder: a fully labeled dataset with a ``protocol.json``, in the layout without ``dataset.json``.
        output: the folder to write; it must not be there.
        cases: how many of the protocol's training cases, from the first on, become the training cases.
        every: keep every how manieth slice.
        held_out: see :func:`~benchmarks.label_efficiency.protocols.derive_protocol`.
        channel_name: nnU-Net's channel name.
        label_names: names of the labels 1, 2, ...; the ignore label is the next one.

    Raises:
        UserError: if there is no such dataset, it has too few cases, or `output` is there.
    """
    source = read_labeled_dataset(source_folder)
    whole = read_protocol(source_folder / "protocol.json", source.cases)
    whole = derive_protocol(whole, held_out=held_out)
    if not 1 <= cases <= len(whole.train):
        raise UserError(f"--cases must be between 1 and {len(whole.train)}, and is {cases}")
    if output.exists():
        raise UserError(f"{output} exists: choose another --output")
    protocol = Protocol(whole.train[:cases], whole.test)
    ignore_label = len(label_names) + 1
    labels = {"background": 0} | {name: value for value, name in enumerate((*label_names, "ignore"), start=1)}
    with written_aside(output) as partial:
        copy_files(_whole_files(source, protocol, partial), link=True)
        (partial / "labelsTr").mkdir()
        for name in protocol.train:
            target = partial / "labelsTr" / f"{name}{source.file_ending}"
            sitk.WriteImage(keep_every(sitk.ReadImage(str(source.cases[name].label)), every, ignore_label), str(target))
        dataset_json = {"channel_names": {"0": channel_name}, "labels": labels, "file_ending": source.file_ending}
        write_whole_json(partial / "dataset.json", {**dataset_json, "numTraining": cases})
        write_whole_json(partial / "protocol.json", asdict(protocol))


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
    add_held_out_argument(parser)
    options = parser.parse_args(arguments)
    return exit_code_of(
        lambda: write_partly_annotated_dataset(
            options.data, options.output, cases=options.cases, every=options.every, held_out=options.held_out
        )
    )


if __name__ == "__main__":
    sys.exit(main())
