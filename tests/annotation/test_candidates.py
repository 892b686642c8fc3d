"""Which cases are labeled and which may be ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nnunetv2_dycon.annotation.candidates import find_candidates
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.uncertainty.inputs import TrainedModel
from tests.annotation.conftest import RawDataset, write_label


def model(few: RawDataset) -> TrainedModel:
    return TrainedModel(Path("model"), (0,), "checkpoint_final.pth", few.dataset_json, None)


def test_scans_of_the_folder_and_those_off_limits_are_candidates(few: RawDataset) -> None:
    few.write_splits({"train": ["a"], "val": [], "unlabeled": ["b"]}, {"train": ["a"], "val": []})
    # Nobody looks at it.
    (few.raw / "labelsTr" / "b.nii.gz").unlink()
    candidates = find_candidates("601", model(few))
    assert list(candidates.labeled) == ["a"]
    assert {name: case.source for name, case in candidates.unlabeled.items()} == {
        "b": "imagesTr",
        **dict.fromkeys("cde", "imagesUnlabeled"),
    }
    assert candidates.unlabeled_images["c"] == [few.raw / f"imagesUnlabeled/c_{n:04d}.nii.gz" for n in range(2)]


def _both(few: RawDataset) -> None:
    write_label(few.raw / "imagesUnlabeled" / "a_0000.nii.gz")


def _nothing_unlabeled(few: RawDataset) -> None:
    for file in (few.raw / "imagesUnlabeled").iterdir():
        file.unlink()


def _lost_link(few: RawDataset) -> None:
    scan = few.raw / "imagesUnlabeled" / "c_0000.nii.gz"
    scan.unlink()
    scan.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_both, "a is in imagesTr and in imagesUnlabeled: remove one of the two, or, if add-labels was killed"),
        (_nothing_unlabeled, r"imagesUnlabeled has no scans, so there is nothing to rank\. Put scans named CASE_0000"),
        (_lost_link, r"c_0000\.nii\.gz is not there: correct the link"),
        (lambda few: (few.raw / "imagesUnlabeled/c_0001.nii.gz").unlink(), r"c\* has 1 of 2 channels"),
        (lambda few: write_label(few.raw / "imagesUnlabeled/c_0002.nii.gz"), "is a channel beyond the 2"),
        (lambda few: few.write_splits({"train": [], "val": [], "unlabeled": ["a", "b"]}), "has no labeled case"),
    ],
)
def test_what_is_refused(few: RawDataset, prepare: Callable[[RawDataset], object], message: str) -> None:
    prepare(few)
    with pytest.raises(UserError, match=message):
        find_candidates("601", model(few))


def test_models_that_do_not_fit_are_refused(few: RawDataset) -> None:
    with pytest.raises(UserError, match=r"needs the predictions of 3d_lowres: rank with that stage, -c 3d_lowres"):
        find_candidates("601", replace(model(few), previous_stage_name="3d_lowres"))
    other = replace(model(few), dataset_json={**few.dataset_json, "file_ending": ".png"})
    with pytest.raises(UserError, match=r"was trained on \.png files, and .* has \.nii\.gz"):
        find_candidates("601", other)
