"""Bad input in the configurations of plans."""

from __future__ import annotations

from tests.bad_input.plans import ALL, changed, without
from tests.bad_input.row import TRAIN, Prepare, Row

IN_3D = ("configurations", "3d_fullres")


def configuration(**changes: object) -> Prepare:
    """Plans whose 3d_fullres is changed."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"].update(changes))


def network(**changes: object) -> Prepare:
    """Plans whose network of 3d_fullres is changed."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"].update(changes))


ROWS = [
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
        "a normalization that nnU-Net does not have",
        ALL,
        'normalization_schemes: nnU-Net has no "ZScore". Correct the file',
        configuration(normalization_schemes=["ZScore"]),
    ),
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
