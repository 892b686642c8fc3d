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
        "nnUNetPlansX.json is not there. Name others with -p (nnUNetPlans, ... are there), or make these with",
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
        "nnUNetPlansSmall.json has no configuration 4d. Choose one of 2d, 3d_fullres",
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
        "a reader that nnU-Net does not have",
        ALL,
        'image_reader_writer: nnU-Net has no "MyIO". Correct the file',
        changed(lambda plans: plans.update(image_reader_writer="MyIO")),
    ),
    Row("plans without a reader", ALL, "lacks the key image_reader_writer", without("image_reader_writer")),
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
        "a label manager that nnU-Net does not have",
        ALL,
        'label_manager: nnU-Net has no "MyLabels"',
        changed(lambda plans: plans.update(label_manager="MyLabels")),
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
]
