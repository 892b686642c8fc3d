"""Bad input in plans."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.bad_input.row import DOCTOR, PLAN, PREPROCESS, SELF_TRAIN, TRAIN, Place, Prepare, Row, write

ALL = (TRAIN, DOCTOR, PREPROCESS, PLAN)


def text(content: str | bytes) -> Prepare:
    """Plans with this text."""
    return lambda place: write(place.workspace.preprocessed / "nnUNetPlansSmall.json", content)


def changed(change: Callable[[dict[str, Any]], object]) -> Prepare:
    """Plans that a function changed in place."""

    def prepare(place: Place) -> None:
        plans = place.workspace.read_plans()
        change(plans)
        (place.workspace.preprocessed / "nnUNetPlansSmall.json").write_text(json.dumps(plans))

    return prepare


def configuration(**changes: object) -> Prepare:
    """Plans whose 3d_fullres is changed."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"].update(changes))


def without(*path: str) -> Prepare:
    """Plans without a key."""

    def remove(plans: dict[str, Any]) -> None:
        for key in path[:-1]:
            plans = plans[key]
        del plans[path[-1]]

    return changed(remove)


def plans_folder(place: Place) -> None:
    file = place.workspace.preprocessed / "nnUNetPlansSmall.json"
    file.unlink()
    file.mkdir()


IN_3D = ("configurations", "3d_fullres")
ROWS = [
    Row(
        "plans cut short",
        (*ALL, SELF_TRAIN),
        "nnUNetPlansSmall.json is not readable as JSON (... correct the file",
        text('{"dataset_name": "Dataset501_Tiny", '),
    ),
    Row("a comma too many in plans", ALL, "is not readable as JSON (...): correct the file", text('{"a": 1,}')),
    Row("plans with a byte order mark", ALL, "save it as UTF-8 without BOM", text(b"\xef\xbb\xbf{}")),
    Row("empty plans", ALL, "nnUNetPlansSmall.json is not readable as JSON (it is empty)", text("")),
    Row(
        "a folder in place of plans",
        ALL,
        "nnUNetPlansSmall.json cannot be read as a file (it is a folder)",
        plans_folder,
    ),
    Row("a list in place of plans", ALL, "nnUNetPlansSmall.json must hold nnU-Net's plans, not [1]", text("[1]")),
    Row("null in place of plans", ALL, "nnUNetPlansSmall.json must hold nnU-Net's plans, not null", text("null")),
    Row(
        "plans without configurations", ALL, "lacks the key configurations. Correct the file", without("configurations")
    ),
    Row("plans without their name", ALL, "nnUNetPlansSmall.json lacks the key plans_name", without("plans_name")),
    Row(
        "configurations that are a list",
        ALL,
        'configurations must be an object of configurations, not ["3d_fullres"]',
        changed(lambda plans: plans.update(configurations=["3d_fullres"])),
    ),
    Row(
        "a configuration that is null",
        ALL,
        "configurations.3d_fullres must be a JSON object, not null",
        changed(lambda plans: plans["configurations"].update({"3d_fullres": None})),
    ),
    Row(
        "plans that are not there",
        tuple(command.replace("-p nnUNetPlansSmall", "-p nnUNetPlansX") for command in ALL),
        "nnUNetPlansX.json is not there. Plan the dataset first: ... or name other plans with -p",
    ),
    Row(
        "a configuration that the plans do not have",
        (
            TRAIN.replace("3d_fullres", "4d"),
            f"{DOCTOR} -c 4d",
            f"{PREPROCESS} -c 4d",
            f"{PLAN} -c 4d",
            f"{SELF_TRAIN} -c 4d",
        ),
        "nnUNetPlansSmall.json has no configuration 4d. It has 2d, 3d_fullres",
    ),
    Row(
        "plans of another dataset",
        (DOCTOR, PREPROCESS, PLAN),
        "has the dataset_name Dataset007_Other, whose data nnU-Net would use",
        changed(lambda plans: plans.update(dataset_name="Dataset007_Other")),
    ),
    Row(
        "a copy of plans with the old plans_name, so that results would lie in one folder",
        (DOCTOR,),
        'has the plans_name "nnUNetPlans": results would lie in the folder of other plans. Write "nnUNetPlansSmall"',
        changed(lambda plans: plans.update(plans_name="nnUNetPlans")),
    ),
    Row(
        "a plans_name with a separator",
        ALL,
        'plans_name must be a name without "/" ..., not "../pwned"',
        changed(lambda plans: plans.update(plans_name="../pwned")),
    ),
    Row(
        "a data_identifier with a separator",
        ALL,
        'configurations.3d_fullres: data_identifier must be a name without "/" ..., not "../../pwned"',
        configuration(data_identifier="../../pwned"),
    ),
    Row(
        "a configuration that inherits from one that is not there",
        ALL,
        "configurations.3d_fullres inherits from '3d_none', which is not there",
        configuration(inherits_from="3d_none"),
    ),
    Row(
        "configurations that inherit from each other",
        ALL,
        "inherits from '3d_fullres', which is not there or inherits from it in turn; correct inherits_from",
        configuration(inherits_from="3d_fullres"),
    ),
    Row("a configuration without spacing", ALL, "3d_fullres lacks the key spacing", without(*IN_3D, "spacing")),
    Row(
        "a configuration without network", ALL, "3d_fullres lacks the key architecture", without(*IN_3D, "architecture")
    ),
    Row(
        "a patch_size that is a text",
        ALL,
        'patch_size must be a list of two or three integers, not "16"',
        configuration(patch_size="16"),
    ),
    Row(
        "a patch_size that the network cannot divide",
        ALL,
        "patch_size [18, 24, 16] cannot be divided by the network's total stride [4, 4, 4]. Choose multiples of it",
        configuration(patch_size=[18, 24, 16]),
    ),
    Row(
        "a patch_size of a 2D network",
        ALL,
        "has strides of another dimension than patch_size",
        configuration(patch_size=[16, 16]),
    ),
    Row(
        "normalization_schemes of another number of channels",
        ALL,
        "normalization_schemes has 0 entries, and dataset.json 1 channels. Correct one of the two",
        configuration(normalization_schemes=[]),
    ),
    Row(
        "a preprocessor that nnU-Net does not have",
        ALL,
        'preprocessor_name: nnU-Net has no "MyPreprocessor". Correct the file',
        configuration(preprocessor_name="MyPreprocessor"),
    ),
    Row(
        "a reader that nnU-Net does not have",
        ALL,
        'image_reader_writer: nnU-Net has no "MyIO". Correct the file',
        changed(lambda plans: plans.update(image_reader_writer="MyIO")),
    ),
    Row(
        "a normalization that nnU-Net does not have",
        ALL,
        'normalization_schemes: nnU-Net has no "ZScore". Correct the file',
        configuration(normalization_schemes=["ZScore"]),
    ),
    Row("plans without a reader", ALL, "lacks the key image_reader_writer", without("image_reader_writer")),
    Row("plans without resampling", ALL, "lacks the key resampling_fn_data", without(*IN_3D, "resampling_fn_data")),
    Row("a batch_size of 0", ALL, "batch_size must be an integer of at least 1, not 0", configuration(batch_size=0)),
    Row(
        "a batch_size of true",
        ALL,
        "batch_size must be an integer of at least 1, not true",
        configuration(batch_size=True),
    ),
    Row("a spacing of 0", ALL, "spacing[0] must be a number above 0, not 0", configuration(spacing=[0, 1, 1])),
    Row(
        "a spacing of NaN",
        ALL,
        "spacing[0] must be a number above 0, not NaN",
        configuration(spacing=[float("nan"), 1, 1]),
    ),
    Row(
        'a text in place of true or false: use_mask_for_norm ["false"]',
        ALL,
        'use_mask_for_norm[0] must be true or false, not "false"',
        configuration(use_mask_for_norm=["false"]),
    ),
    Row(
        "normalization_schemes that are a text",
        ALL,
        'normalization_schemes must be a list of names, not "ZScoreNormalization"',
        configuration(normalization_schemes="ZScoreNormalization"),
    ),
]
