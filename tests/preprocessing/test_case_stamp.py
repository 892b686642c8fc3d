"""Cases are redone when what they were made from has changed, and only then."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import blosc2
import numpy as np
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dycon.datasets.raw_dataset import UnlabeledCase
from nnunetv2_dycon.preprocessing.case_stamp import (
    Stamp,
    describe_raw_files,
    find_damage,
    hash_plans,
    is_current,
    make_stamp,
    output_files,
    read_stamp,
    sample_image,
    stamp_file,
    write_stamp,
)

CONFIGURATION = {
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [16, 16, 16],
    "spacing": [1.0, 1.0, 1.0],
    "normalization_schemes": ["ZScoreNormalization"],
    "use_mask_for_norm": [False],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"order": 3},
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_seg_kwargs": {"order": 1},
    "architecture": {"arch_kwargs": {"n_stages": 3}},
}
PLANS = {
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {"0": {"mean": 1.0, "std": 2.0}},
}


def hash_of(plans: dict | None = None, configuration: dict | None = None) -> str:
    configurations = {"3d_fullres": {**CONFIGURATION, **(configuration or {})}}
    manager = PlansManager({**PLANS, **(plans or {}), "configurations": configurations})
    return hash_plans(manager, manager.get_configuration("3d_fullres"))


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessor_name": "Other"},
        {"spacing": [1.0, 1.0, 2.0]},
        {"normalization_schemes": ["CTNormalization"]},
        {"use_mask_for_norm": [True]},
        {"resampling_fn_data": "other"},
        {"resampling_fn_data_kwargs": {"order": 1}},
        {"resampling_fn_seg": "other"},
        {"resampling_fn_seg_kwargs": {"order": 0}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_on_preprocessing_in_a_configuration_changes_the_hash(change: dict) -> None:
    assert hash_of(configuration=change) != hash_of()


@pytest.mark.parametrize(
    "change",
    [
        {"image_reader_writer": "NibabelIO"},
        {"transpose_forward": [2, 0, 1]},
        {"foreground_intensity_properties_per_channel": {"0": {"mean": 1.5, "std": 2.0}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_on_preprocessing_in_the_plans_changes_the_hash(change: dict) -> None:
    assert hash_of(plans=change) != hash_of()


def test_all_else_does_not_change_the_hash() -> None:
    network = {"arch_kwargs": {"n_stages": 5}}
    configuration = {"batch_size": 9, "patch_size": [8, 8, 8], "dycon": {"uncl_weight": 2}, "architecture": network}
    assert hash_of({"plans_name": "other"}, configuration) == hash_of()


@pytest.fixture
def case(tmp_path: Path) -> UnlabeledCase:
    images = tuple(tmp_path / f"a_{channel:04d}.nii.gz" for channel in range(2))
    for image in images:
        image.write_text("scan")
    return UnlabeledCase("a", images, "imagesUnlabeled")


@pytest.fixture
def folder(tmp_path: Path, case: UnlabeledCase) -> Path:
    """A folder in which the case is done."""
    folder = tmp_path / "done"
    folder.mkdir()
    image = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    for name, array in (("a", image), ("a_nonzero", np.zeros((1, 3, 4, 5), np.int8))):
        blosc2.asarray(array, urlpath=str(folder / f"{name}.b2nd"))
    (folder / "a.pkl").write_bytes(b"properties")
    write_stamp(folder, "a", stamp_of(case, folder))
    return folder


def stamp_of(case: UnlabeledCase, folder: Path) -> Stamp:
    return make_stamp(case, "plans", describe_raw_files(case), folder)


def test_a_case_without_a_stamp_is_not_done(folder: Path, case: UnlabeledCase) -> None:
    assert is_current(folder, case, "plans")
    stamp_file(folder, "a").unlink()
    assert read_stamp(folder, "a") is None
    assert not is_current(folder, case, "plans")


def test_a_stamp_is_written_whole_or_not_at_all(folder: Path, case: UnlabeledCase) -> None:
    assert read_stamp(folder, "a") == stamp_of(case, folder)
    assert {*folder.iterdir()} == {stamp_file(folder, "a"), *output_files(folder, "a")}


def test_other_plans_are_noticed(folder: Path, case: UnlabeledCase) -> None:
    assert not is_current(folder, case, "other plans")


def test_another_source_is_noticed(folder: Path, case: UnlabeledCase) -> None:
    assert not is_current(folder, UnlabeledCase("a", case.images, "imagesTr"), "plans")


@pytest.mark.parametrize("text", ["scan that is longer", "nacs"], ids=["other size", "same size"])
def test_another_scan_is_noticed(folder: Path, case: UnlabeledCase, text: str) -> None:
    case.images[1].write_text(text)
    os.utime(case.images[1], ns=(1, 1))
    assert not is_current(folder, case, "plans")


def test_a_further_file_is_noticed(folder: Path, case: UnlabeledCase) -> None:
    case.images[0].with_name("a.json").write_text('{"spacing": [1, 1, 1]}')
    assert not is_current(folder, case, "plans")


@pytest.mark.parametrize("note_times", [True, False])
def test_another_time_alone_changes_nothing_and_is_noted_on_request(
    folder: Path, case: UnlabeledCase, note_times: bool
) -> None:
    os.utime(case.images[0], ns=(1, 1))
    before = read_stamp(folder, "a")
    assert is_current(folder, case, "plans", note_times)
    assert read_stamp(folder, "a") == (stamp_of(case, folder) if note_times else before)


@pytest.mark.parametrize("name", ["a.b2nd", "a_nonzero.b2nd", "a.pkl"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:5]), "has 5 bytes instead of"),
        (Path.unlink, "is not there"),
        (lambda file: file.write_bytes(file.read_bytes() + b"0"), "bytes instead of"),
    ],
    ids=["truncated", "deleted", "longer"],
)
def test_preprocessed_files_that_are_not_whole_are_noticed(
    folder: Path, case: UnlabeledCase, name: str, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder / name)
    assert not is_current(folder, case, "plans")
    found = find_damage(folder, "a", read_stamp(folder, "a"))
    assert found is not None
    assert found.startswith(f"{name} ")
    assert message in found


def test_a_file_of_zeros_is_no_array(folder: Path, case: UnlabeledCase) -> None:
    """As a power failure may leave it: of the right size, and without its contents."""
    file = folder / "a.b2nd"
    file.write_bytes(bytes(file.stat().st_size))
    assert not is_current(folder, case, "plans")
    assert find_damage(folder, "a", read_stamp(folder, "a")) == "a.b2nd is no Blosc2 file"


@pytest.mark.parametrize(
    "change",
    [
        lambda _: "",
        lambda text: text[: len(text) // 2],
        lambda text: "\xff" + text,
        lambda _: "[]",
        lambda _: "null",
        lambda _: "[" * 100_000,
        lambda text: json.dumps({**json.loads(text), "files": None}),
        lambda text: json.dumps({**json.loads(text), "files": ["a_0000.nii.gz"]}),
        lambda text: json.dumps({**json.loads(text), "files": []}),
        lambda text: json.dumps(
            {**json.loads(text), "files": [{"name": "a", "size": "4", "mtime_ns": 1, "sha256": ""}]}
        ),
        lambda text: json.dumps({**json.loads(text), "outputs": {}}),
        lambda text: json.dumps({**json.loads(text), "outputs": {"a.b2nd": "4"}}),
        lambda text: json.dumps({**json.loads(text), "outputs": 4}),
        lambda text: json.dumps({**json.loads(text), "shape": [3]}),
        lambda text: json.dumps({**json.loads(text), "sample": [3]}),
        lambda text: json.dumps({**json.loads(text), "plans": 3}),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != "source"}),
    ],
)
def test_a_broken_stamp_is_none(folder: Path, case: UnlabeledCase, change: Callable[[str], str]) -> None:
    stamp = stamp_file(folder, "a")
    stamp.write_text(change(stamp.read_text()), encoding="latin-1")
    assert read_stamp(folder, "a") is None
    assert not is_current(folder, case, "plans")
    assert find_damage(folder, "a", read_stamp(folder, "a")) == "a.json is not there or no stamp"


def test_what_was_made_from_a_file_that_is_gone_is_current(folder: Path, case: UnlabeledCase) -> None:
    case.images[1].unlink()
    case.images[1].symlink_to("nowhere")
    assert is_current(folder, case, "plans")
    assert not is_current(folder, case, "other plans")


def test_a_sample_lies_on_the_lines_through_the_middle() -> None:
    image = np.random.default_rng(0).normal(size=(2, 30, 16, 9)).astype(np.float32)
    sample = np.array(sample_image(image)).reshape(3, 2, 16)
    for channel in range(2):
        assert sample[0, channel] == pytest.approx(
            image[channel, np.linspace(0, 29, 16).round().astype(int), 8, 4], 1e-5
        )
        assert sample[1, channel] == pytest.approx(image[channel, 15, :, 4], 1e-5)
    changed = image.copy()
    changed[0, 0, 0, 0] += 1
    assert sample_image(changed) == sample_image(image)
    changed[1, 15, 0, 4] += 1
    assert sample_image(changed) != sample_image(image)
