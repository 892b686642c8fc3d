"""Folds of a dataset: ``splits_final.json``, with our key ``"unlabeled"`` for cases whose labels are off limits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnunetv2_dycon.datasets.schemas import SPLITS
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import read_json_file

SPLITS_FILE = "splits_final.json"
UNLABELED_KEY = "unlabeled"
NUMBER_OF_FOLDS = 5

Split: TypeAlias = dict[str, list[str]]


def read_splits(splits_file: Path) -> list[Split]:
    """The folds of a ``splits_final.json``, none where it is not there.

    Raises:
        UserError: for what is no list of folds, keys other than ``train``, ``val`` and ``unlabeled``, of which a
            misspelled one would have labels used that are off limits, names that no case can have, and a link whose
            target is gone, in place of which nnU-Net would make folds of all labels.
    """
    if splits_file.is_symlink() and not splits_file.exists():
        raise UserError(
            f"{splits_file} is a link to {splits_file.readlink()}, which is not there: correct the link, or remove it "
            "to have nnU-Net make folds."
        )
    if not splits_file.exists():
        return []
    splits: list[Split] = read_json_file(splits_file, SPLITS)
    return splits


def read_or_make_splits(splits_file: Path, labeled: Iterable[str]) -> list[Split]:
    """The folds that a training of nnU-Net uses: those of the file or, where it is not there, those it would make.

    With fewer than five labeled cases nnU-Net can make none.
    """
    splits, labeled = read_splits(splits_file), sorted(labeled)
    if splits_file.is_file() or len(labeled) < NUMBER_OF_FOLDS:
        return splits
    # As in nnUNetTrainer.do_split.
    splits = generate_crossval_split(labeled, seed=12345, n_splits=NUMBER_OF_FOLDS)
    return [{key: [str(case) for case in cases] for key, cases in split.items()} for split in splits]


def validation_only(train: Iterable[str], val: Iterable[str]) -> set[str]:
    """The validation cases of a fold that are not trained on too: nnU-Net warns of those, which may be on purpose."""
    return set(val) - set(train)


def off_limits_cases_of_all_folds(splits_file: Path) -> list[str]:
    """All cases that any fold of ``splits_final.json``, which may be absent, lists under ``"unlabeled"``, sorted."""
    return sorted({case for split in read_splits(splits_file) for case in split.get(UNLABELED_KEY, [])})


def off_limits_cases(splits_file: Path, fold: int | str) -> list[str]:
    """The cases of the labeled folder that a fold may use without their labels only, sorted.

    nnU-Net ignores the key, so a fold that nnU-Net would make up itself (``all``, or a fold beyond the file) would
    train on the labels of such cases: that is refused.

    Raises:
        UserError: for a case that is also in the fold's ``train`` or ``val``, and for a fold that the file lacks while
            it puts cases off limits.
    """
    splits = read_splits(splits_file)
    if isinstance(fold, str) or fold >= len(splits):
        cases = off_limits_cases_of_all_folds(splits_file)
        if cases:
            raise UserError(
                f'{splits_file} puts the labels of {len(cases)} cases off limits ("{UNLABELED_KEY}"), but fold {fold} '
                "is not in the file, and nnU-Net would train on them. Train one of its folds, or add this fold to it."
            )
        return []
    split = splits[fold]
    cases = sorted(set(split.get(UNLABELED_KEY, [])))
    for key in ("train", "val"):
        if both := [case for case in cases if case in split[key]]:
            raise UserError(
                f'Fold {fold} of {splits_file} lists {", ".join(both)} under "{UNLABELED_KEY}" and under "{key}". '
                "Remove them from one of the two."
            )
    return cases
