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


def network(**changes: object) -> Prepare:
    """Plans whose network of 3d_fullres is changed."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes))


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
        "an axis twice in transpose_forward",
        ALL,
        "transpose_forward must be a list of the axes 0, 1 and 2, each once, not [0, 0, 1]",
        changed(lambda plans: plans.update(transpose_forward=[0, 0, 1])),
    ),
    Row(
        "a transpose_backward that does not undo transpose_forward",
        ALL,
        "transpose_backward [1, 2, 0] does not undo transpose_forward [1, 2, 0] ... Write [2, 0, 1]",
        changed(lambda plans: plans.update(transpose_forward=[1, 2, 0], transpose_backward=[1, 2, 0])),
    ),
    Row(
        "a previous_stage that is not there",
        ALL,
        'configurations.3d_fullres has the previous_stage "3d_none", which is not there. Correct it',
        configuration(previous_stage="3d_none"),
    ),
    Row(
        "a next_stage that is not there",
        ALL,
        'configurations.3d_fullres has the next_stage "3d_none", which is not there. Correct it',
        configuration(next_stage=["3d_none"]),
    ),
    Row(
        "a next_stage that nnU-Net cannot use",
        ALL,
        "configurations.later lacks the key architecture",
        changed(
            lambda plans: plans["configurations"].update(
                {"later": {}, "3d_fullres": {**plans["configurations"]["3d_fullres"], "next_stage": "later"}}
            )
        ),
    ),
    Row(
        "plans without resampling of predictions, which the last validation would ask for",
        ALL,
        "lacks the key resampling_fn_probabilities",
        without(*IN_3D, "resampling_fn_probabilities"),
    ),
    Row(
        "a resampling of predictions that nnU-Net does not have",
        ALL,
        'resampling_fn_probabilities: nnU-Net has no "linear"',
        configuration(resampling_fn_probabilities="linear"),
    ),
    Row(
        "an argument that resampling does not take",
        ALL,
        "resampling_fn_probabilities_kwargs are not those of resample_data_or_seg_to_shape: ... 'orders'",
        configuration(resampling_fn_probabilities_kwargs={"orders": 1}),
    ),
    Row("plans without batch_dice", ALL, "3d_fullres lacks the key batch_dice", without(*IN_3D, "batch_dice")),
    Row(
        "a spacing of another dimension than the patch",
        ALL,
        "has 2 values of spacing and 3 of patch_size",
        configuration(spacing=[1, 1]),
    ),
    Row(
        "kernels of another dimension than the patch",
        ALL,
        "has kernel_sizes of another dimension than patch_size",
        network(kernel_sizes=[[3, 3]] * 3),
    ),
    Row(
        "a network of two stages",
        ALL,
        "has a network of 2 stages, and nnU-Net's deep supervision needs 3",
        network(n_stages=2, strides=[[1, 1, 1], [2, 2, 2]], kernel_sizes=[[3, 3, 3]] * 2),
    ),
    Row(
        "a label manager that nnU-Net does not have",
        ALL,
        'label_manager: nnU-Net has no "MyLabels"',
        changed(lambda plans: plans.update(label_manager="MyLabels")),
    ),
    Row(
        "a function in place of a preprocessor",
        ALL,
        'preprocessor_name: nnU-Net has no "crop_to_nonzero"',
        configuration(preprocessor_name="crop_to_nonzero"),
    ),
    Row(
        "the base class of normalizations in place of one",
        ALL,
        'normalization_schemes: nnU-Net has no "ImageNormalization"',
        configuration(normalization_schemes=["ImageNormalization"]),
    ),
    Row(
        "plans without the intensities of a channel",
        ALL,
        "the plans' foreground_intensity_properties_per_channel lacks the key 0",
        changed(lambda plans: plans.update(foreground_intensity_properties_per_channel={})),
    ),
    Row(
        "intensities of CT that are not all there",
        ALL,
        "foreground_intensity_properties_per_channel: 0 lacks the key std",
        changed(
            lambda plans: (
                plans["foreground_intensity_properties_per_channel"]["0"].pop("std"),
                plans["configurations"]["3d_fullres"].update(normalization_schemes=["CTNormalization"]),
            )
        ),
    ),
    Row(
        "a network that cannot be built",
        (TRAIN,),
        "The network of the plans cannot be built (AssertionError: features_per_stage must have as many entries",
        network(features_per_stage=[4, 8]),
    ),
    Row(
        "normalization_schemes that are a text",
        ALL,
        'normalization_schemes must be a list of names, not "ZScoreNormalization"',
        configuration(normalization_schemes="ZScoreNormalization"),
    ),
]
