"""What plans must hold, as nnU-Net 2.8 reads them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nnunetv2
import numpy as np
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnunetv2_dycon.datasets.names import is_file_name
from nnunetv2_dycon.datasets.schemas import FILE_NAME, LABEL, NOTHING
from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.json_files import (
    ANYTHING,
    BOOLEAN,
    TEXT,
    Schema,
    either,
    list_of,
    mapping_of,
    number,
    record,
)

_INTEGER = number("an integer", integer=True)
_COUNT = number("an integer of at least 1", minimum=1, integer=True)
_LENGTH = Schema("a number above 0", lambda value: number().accepts(value) and value > 0)
_AXES = Schema(
    "a list of the axes 0, 1 and 2, each once",
    lambda value: list_of(LABEL, "").problem(value, "") is None and sorted(value) == [0, 1, 2],
)
PLANS = record(
    {
        "dataset_name": FILE_NAME,
        "plans_name": FILE_NAME,
        "configurations": mapping_of(mapping_of(), "an object of configurations"),
        "image_reader_writer": TEXT,
        "transpose_forward": _AXES,
        "transpose_backward": _AXES,
    },
    {
        "label_manager": TEXT,
        "experiment_planner_used": TEXT,
        "foreground_intensity_properties_per_channel": mapping_of(mapping_of()),
        "foreground_intensity_properties_by_modality": mapping_of(mapping_of()),
    },
    description="nnU-Net's plans",
)
_ARCHITECTURE = record(
    {"network_class_name": TEXT, "arch_kwargs": mapping_of(), "_kw_requires_import": list_of(TEXT, "a list of names")}
)
_CONFIGURATION = record(
    {
        "data_identifier": FILE_NAME,
        "preprocessor_name": TEXT,
        "batch_size": _COUNT,
        "patch_size": list_of(_COUNT, "a list of two or three integers", lengths=[2, 3]),
        "spacing": list_of(_LENGTH, "a list of two or three numbers", lengths=[2, 3]),
        "normalization_schemes": list_of(TEXT, "a list of names"),
        "use_mask_for_norm": list_of(BOOLEAN, "a list of true and false"),
        "resampling_fn_data": TEXT,
        "resampling_fn_data_kwargs": mapping_of(),
        "resampling_fn_seg": TEXT,
        "resampling_fn_seg_kwargs": mapping_of(),
        "resampling_fn_probabilities": TEXT,
        "resampling_fn_probabilities_kwargs": mapping_of(),
        "batch_dice": BOOLEAN,
    },
    {
        "median_image_size_in_voxels": list_of(_LENGTH, "a list of numbers"),
        "architecture": _ARCHITECTURE,
        "previous_stage": either(TEXT, NOTHING),
        "next_stage": either(TEXT, list_of(TEXT, "a list of configurations"), NOTHING),
    },
)


def check_plans(content: object, where: str) -> None:
    """Check plans but for their configurations, of which each is checked when it is used.

    Args:
        content: as it was read.
        where: the file, for the message.

    Raises:
        UserError: for a missing key and for values that nnU-Net cannot use.
    """
    PLANS.check(content, where)
    assert isinstance(content, dict)
    forward, backward = content["transpose_forward"], content["transpose_backward"]
    if np.argsort(forward).tolist() != backward:
        raise UserError(
            f"{where}: transpose_backward {backward} does not undo transpose_forward {forward}, and predictions would "
            f"lie the wrong way round. Write {np.argsort(forward).tolist()}."
        )
    _find(content["image_reader_writer"], f"{where}: image_reader_writer", inspect.isclass, "imageio")
    if "label_manager" in content:
        folders = ("utilities", "label_handling")
        _find(content["label_manager"], f"{where}: label_manager", inspect.isclass, *folders)
    if not any(f"foreground_intensity_properties_{end}" in content for end in ("per_channel", "by_modality")):
        raise UserError(f"{where} lacks the key foreground_intensity_properties_per_channel. Correct the file.")
    configurations = content["configurations"]
    for name, configuration in configurations.items():
        if not is_file_name(name):
            raise UserError(
                f"{where} has the configuration {name!r}, and folders are named after configurations: rename it to "
                f"{FILE_NAME.description}."
            )
        seen, parent = [name], configuration.get("inherits_from")
        while parent is not None:
            if not isinstance(parent, str) or parent not in configurations or parent in seen:
                raise UserError(
                    f"{where}: configurations.{name} inherits from {parent!r}, which is not there or inherits from it "
                    "in turn; correct inherits_from."
                )
            seen.append(parent)
            parent = configurations[parent].get("inherits_from")


def _find(name: str, where: str, is_kind: Callable[[Any], bool], *folders: str) -> Any:
    """The class or function of a name as nnU-Net finds it among its own; a UserError where it would find none."""
    folder = Path(nnunetv2.__path__[0]).joinpath(*folders)
    found = recursive_find_python_class(str(folder), name, ".".join(("nnunetv2", *folders)))
    if not is_kind(found) or inspect.isabstract(found):
        raise UserError(f'{where}: nnU-Net has no "{name}". Correct the file.')
    return found


def check_configuration(plans: Mapping[str, Any], name: str, where: str, dataset_json: Mapping[str, Any]) -> None:
    """Check a configuration of plans, with what it inherits and, in a cascade, the stages before and after it.

    Args:
        plans: which have been checked.
        name: such as ``3d_fullres``.
        where: the file of the plans, for the message.
        dataset_json: of the dataset, which has been checked.

    Raises:
        UserError: for a configuration that is not there, a missing key, values that nnU-Net cannot use, and a patch
            that the network cannot halve as often as it has to.
    """
    if name not in plans["configurations"]:
        raise UserError(f"{where} has no configuration {name}. Choose one of {', '.join(plans['configurations'])}.")
    content = _resolved(plans, name)
    _check_resolved(content, f"{where}: configurations.{name}", plans, dataset_json)
    for key in ("previous_stage", "next_stage"):
        for stage in np.atleast_1d(content.get(key) or []).tolist():
            if stage not in plans["configurations"]:
                raise UserError(
                    f'{where}: configurations.{name} has the {key} "{stage}", which is not there. Correct it.'
                )
            _check_resolved(_resolved(plans, stage), f"{where}: configurations.{stage}", plans, dataset_json)


def _resolved(plans: Mapping[str, Any], name: str) -> dict[str, Any]:
    resolved: dict[str, Any] = PlansManager(dict(plans))._internal_resolve_configuration_inheritance(name)
    return resolved


def _check_resolved(
    content: Mapping[str, Any], where: str, plans: Mapping[str, Any], dataset_json: Mapping[str, Any]
) -> None:
    if content.get("architecture", ANYTHING) is ANYTHING and "UNet_class_name" not in content:
        raise UserError(f"{where} lacks the key architecture. Correct the file.")
    problem = _CONFIGURATION.problem(content, where)
    if problem is not None:
        raise UserError(f"{problem}. Correct the file.")
    channels = dataset_json["channel_names" if "channel_names" in dataset_json else "modality"]
    for key in ("normalization_schemes", "use_mask_for_norm"):
        if len(content[key]) != len(channels):
            raise UserError(
                f"{where}.{key} has {len(content[key])} entries, and dataset.json {len(channels)} channels. Correct "
                "one of the two, or plan again."
            )
    _find(content["preprocessor_name"], f"{where}.preprocessor_name", inspect.isclass, "preprocessing")
    for key in ("resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities"):
        function = _find(content[key], f"{where}.{key}", inspect.isfunction, "preprocessing", "resampling")
        try:
            # An image, its shape and spacing as they are to be, and its spacing as it is.
            inspect.signature(function).bind(*[None] * 4, **content[f"{key}_kwargs"])
        except TypeError as error:
            raise UserError(
                f"{where}.{key}_kwargs are not those of {content[key]}: {error}. Correct the file."
            ) from None
    for scheme in content["normalization_schemes"]:
        folders = ("preprocessing", "normalization")
        _find(scheme, f"{where}.normalization_schemes", inspect.isclass, *folders)
    _check_intensities(content["normalization_schemes"], plans, where)
    _check_sizes(content, where)


def _check_intensities(schemes: Sequence[str], plans: Mapping[str, Any], where: str) -> None:
    """Check that the plans have the intensities of each channel, and of those of CT all that is read."""
    ends = ("per_channel", "by_modality")
    key = next(key for end in ends if (key := f"foreground_intensity_properties_{end}") in plans)
    for channel, scheme in enumerate(schemes):
        schema = _CT_INTENSITIES if scheme == "CTNormalization" else mapping_of()
        if problem := record({str(channel): schema}).problem(plans[key], f"{where}: the plans' {key}"):
            raise UserError(f"{problem}. Correct the file, or plan again.")


def _check_sizes(content: Mapping[str, Any], where: str) -> None:
    """Check that spacing, patch and network have the same number of axes, and that the network can halve the patch."""
    patch_size, architecture = content["patch_size"], content.get("architecture", {})
    for key in ("strides", "kernel_sizes"):
        sizes = architecture.get("arch_kwargs", {}).get(key)
        is_known = _SIZES.problem(sizes, "") is None
        if is_known and any(np.ndim(size) > 0 and len(size) != len(patch_size) for size in sizes):
            raise UserError(f"{where} has {key} of another dimension than patch_size {patch_size}. Correct the file.")
    if len(content["spacing"]) != len(patch_size):
        raise UserError(
            f"{where} has {len(content['spacing'])} values of spacing and {len(patch_size)} of patch_size. Correct the "
            "file."
        )
    # Plans of early releases of nnU-Net have them beside the network.
    strides = architecture.get("arch_kwargs", content).get("strides", content.get("pool_op_kernel_sizes"))
    if _SIZES.problem(strides, "") is None:
        total = np.prod([np.broadcast_to(stride, len(patch_size)) for stride in strides], axis=0).tolist()
        if any(size % stride for size, stride in zip(patch_size, total, strict=True)):
            raise UserError(
                f"{where}.patch_size {patch_size} cannot be divided by the network's total stride {total}. Choose "
                "multiples of it."
            )
        # nnUNetTrainer._build_loss gives the lowest resolution the weight 0 and divides by the sum of all weights.
        if len(strides) < _FEWEST_STAGES:
            raise UserError(
                f"{where} has a network of {len(strides)} stages, and nnU-Net's deep supervision needs "
                f"{_FEWEST_STAGES}: with fewer, its loss is NaN. Plan a larger patch."
            )


_FEWEST_STAGES = 3
_SIZES = list_of(either(_COUNT, list_of(_COUNT, "a list of integers")), "a list of sizes")
_CT_INTENSITIES = record(dict.fromkeys(("mean", "std", "percentile_00_5", "percentile_99_5"), number()))
