"""Make a semi-supervised raw dataset from the files that people have of a data set of the literature."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import save_json
from tqdm import tqdm

from nnunetv2_dycon.conversion.data_sets import DATA_SETS, DataSet
from nnunetv2_dycon.conversion.published_splits import PublishedSplit, read_published_split
from nnunetv2_dycon.conversion.roles import Roles, choose_roles
from nnunetv2_dycon.conversion.source_formats import Cases, SourceFormat, find_cases, list_files
from nnunetv2_dycon.conversion.write_cases import FILE_ENDING, CaseToWrite, write_cases
from nnunetv2_dycon.datasets.names import folders_of_dataset, new_dataset_name, raw_folder
from nnunetv2_dycon.datasets.raw_file_names import LABELED_FOLDER_NAME, UNLABELED_FOLDER_NAME
from nnunetv2_dycon.exceptions import UserError, listed
from nnunetv2_dycon.files import written_aside

RECORD = "convert.json"
_MOST_NAMES = 10


def convert(
    data_set_name: str,
    source: Path,
    output: str,
    labeled: int | Fraction,
    *,
    format_name: str | None = None,
    split_name: str | None = None,
    without: Collection[str] = (),
    spacing: tuple[float, float, float] | None = None,
    match_voxels: bool = False,
    num_processes: int = 1,
    show_progress: bool = True,
) -> Path:
    """Make a raw dataset with few labels by a published split.

    The labels of unlabeled cases are neither opened nor written. All names are checked before anything is written, and
    a run that does not end leaves nothing.

    Args:
        data_set_name: key of :data:`DATA_SETS`.
        source: folder with the files, at any depth.
        output: ID or name of the new dataset in nnUNet_raw.
        labeled: number of labeled cases, or their percentage, see :func:`choose_roles`.
        format_name: which files to take, where the folder has those of several formats.
        split_name: None: the first one of the data set whose names the files can have.
        without: cases to leave out.
        spacing: in mm, in the order (x, y, z), for files that have none.
        match_voxels: see :func:`match_grid`.
        num_processes: cases to convert at once.
        show_progress: show a progress bar.

    Returns:
        Folder of the new dataset; ``convert.json`` in it records source, split and the cases' roles.

    Raises:
        UserError: if anything about source, options or the place to write to is wrong.
    """
    data_set = DATA_SETS[data_set_name]
    files = list_files(source)
    source_format, cases, split = _choose_files(data_set, source, files, format_name, split_name)
    if spacing is not None and source_format.assumed_spacing is None:
        raise UserError(f"--spacing is for files without one, and {source_format.name} files have it: leave it out")
    left_out = split.left_out | dict.fromkeys(_known(without, split), "left out by --without")
    roles = choose_roles(data_set, split, left_out, labeled)
    _check_files(source, source_format, cases, roles)
    extra = sorted(set(cases) - set(split.cases))
    name = new_dataset_name(output, f"{data_set.title}_{len(roles.labeled)}labeled")
    if existing := folders_of_dataset(name):
        raise UserError(f"{existing[0]} exists: choose another ID or name with -o, or remove it yourself")
    record = {
        "data_set": data_set.name,
        "source": str(source.resolve()),
        "format": source_format.name,
        "split": {"name": split.name, "source": split.source},
        "labeled": roles.labeled,
        "unlabeled": roles.unlabeled,
        "train": (*roles.labeled, *roles.unlabeled),
        "validation": roles.validation,
        "test": roles.test,
        "left_out": left_out,
        "in_no_list": extra,
        "assumed_spacing": spacing or source_format.assumed_spacing,
        "match_voxels": match_voxels,
        "notes": (*split.notes, *source_format.notes),
        "files": {case: str(cases[case].images[0].relative_to(source)) for case in sorted(roles.cases)},
    }
    dataset_json = {
        "name": name,
        "channel_names": {"0": source_format.channel_name},
        "labels": dict(data_set.labels),
        "numTraining": len(roles.labeled),
        "file_ending": FILE_ENDING,
    }
    _print_what_is_done(source_format, split, left_out, extra, record["assumed_spacing"])

    target = raw_folder() / name
    with written_aside(target) as partial:
        to_write = [
            CaseToWrite(case, cases[case], source_format, images, labels, spacing, match_voxels)
            for names, images, labels in _places(roles, partial)
            for case in names
        ]
        written = write_cases(to_write, num_processes)
        for _ in tqdm(written, desc="convert", unit="case", total=len(to_write), disable=not show_progress):
            pass
        save_json(dataset_json, str(partial / "dataset.json"), sort_keys=False)
        save_json(record, str(partial / RECORD), sort_keys=False)
    return target


def _choose_files(
    data_set: DataSet, source: Path, files: Iterable[Path], format_name: str | None, split_name: str | None
) -> tuple[SourceFormat, Cases, PublishedSplit]:
    """The format in which the folder has the data set, its cases, and the split."""
    if split_name is not None and split_name not in data_set.splits:
        raise UserError(f"--split must be one of {', '.join(data_set.splits)}, not {split_name}: correct it")
    names = list(dict.fromkeys(source_format.name for source_format in data_set.formats))
    if format_name is not None and format_name not in names:
        raise UserError(f"--format must be one of {', '.join(names)}, not {format_name}: correct it")
    splits = {name: read_published_split(data_set.name, name) for name in data_set.splits}
    found = []
    for source_format in data_set.formats:
        split = splits[source_format.split or split_name or data_set.splits[0]]
        if format_name not in (None, source_format.name) or split_name not in (None, split.name):
            continue
        if cases := find_cases(source, files, source_format, split.prefix):
            found.append((source_format, cases, split))
    if not found:
        layouts = "; ".join(f"{each.layout} ({each.name})" for each in data_set.formats)
        options = " of the chosen --format and --split" if format_name or split_name else ""
        raise UserError(
            f"{source} has no files of {data_set.name}{options}: name the folder that has {layouts}, at any depth"
        )
    if len(found) > 1:
        layouts = "; ".join(f"{each.layout} (--format {each.name} --split {split.name})" for each, _, split in found)
        raise UserError(f"{source} has the data set more than once, as {layouts}: choose one by these options")
    return found[0]


def _known(without: Collection[str], split: PublishedSplit) -> Collection[str]:
    if unknown := sorted(set(without) - set(split.cases)):
        raise UserError(
            f"--without names {listed(unknown, _MOST_NAMES)}, which no list of the split {split.name} has: correct it"
        )
    return without


def _check_files(source: Path, source_format: SourceFormat, cases: Cases, roles: Roles) -> None:
    """See that there are a scan of each case and a label of each case that needs one, by name."""
    problems = []
    if missing := sorted(set(roles.cases) - set(cases)):
        problems.append(f"no scan of {listed(missing, _MOST_NAMES)}")
    if unlabeled := sorted(case for case in roles.with_labels if case in cases and not cases[case].labels):
        problems.append(f"no label of {listed(unlabeled, _MOST_NAMES)}")
    if problems:
        raise UserError(
            f"{source} has {' and '.join(problems)} (looked for {source_format.layout}): add the files, or leave cases "
            "out with --without"
        )


def _places(roles: Roles, folder: Path) -> list[tuple[tuple[str, ...], Path, Path | None]]:
    """Cases with the folders for their scans and labels."""
    return [
        (roles.labeled, folder / LABELED_FOLDER_NAME, folder / "labelsTr"),
        (roles.unlabeled, folder / UNLABELED_FOLDER_NAME, None),
        (roles.validation, folder / "imagesVal", folder / "labelsVal"),
        (roles.test, folder / "imagesTs", folder / "labelsTs"),
    ]


def _print_what_is_done(
    source_format: SourceFormat,
    split: PublishedSplit,
    left_out: Mapping[str, str],
    extra: Collection[str],
    spacing: Any,
) -> None:
    print(f"{source_format.name} files ({source_format.layout}), split {split.name} of {split.source}.")
    if spacing is not None:
        print(f"The files have no spacing: {' x '.join(f'{length:g}' for length in spacing)} mm is assumed.")
    for case, why in left_out.items():
        print(f"{case} is left out: {why}.")
    if extra:
        print(f"{listed(extra, _MOST_NAMES)} is in no list of the split and is left out.")
    for note in (*split.notes, *source_format.notes):
        print(note)
