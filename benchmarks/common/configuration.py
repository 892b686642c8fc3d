"""Network and patch of a benchmark, as plans that nnU-Net's planner could have made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DATASET_NAME = "Dataset999_Benchmark"
CONFIGURATION = "3d_fullres"


@dataclass(frozen=True)
class Configuration:
    """A 3D configuration of nnU-Net: PlainConvUNet, kernel 3, stride 2 after the first stage, two convolutions a stage.

    Attributes:
        patch_size: of the network's input, in voxels.
        features: channels of each stage.
        batch_size: patches of a batch.
        channels: of the images.
    """

    patch_size: tuple[int, int, int]
    features: tuple[int, ...]
    batch_size: int = 2
    channels: int = 1

    def plans(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Plans for nnU-Net.

        Args:
            settings: the settings of DyCON that differ from the defaults.

        Returns:
            The content of a plans file.
        """
        stages = len(self.features)
        resampling = {"order_z": 0, "force_separate_z": None}
        architecture = {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": stages,
                "features_per_stage": list(self.features),
                "conv_op": "torch.nn.modules.conv.Conv3d",
                "kernel_sizes": [[3, 3, 3]] * stages,
                "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
                "n_conv_per_stage": [2] * stages,
                "n_conv_per_stage_decoder": [2] * (stages - 1),
                "conv_bias": True,
                "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        }
        configuration = {
            "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
            "preprocessor_name": "DefaultPreprocessor",
            "batch_size": self.batch_size,
            "patch_size": list(self.patch_size),
            "spacing": [1.2, 1.0, 1.0],
            "normalization_schemes": ["ZScoreNormalization"] * self.channels,
            "use_mask_for_norm": [False] * self.channels,
            "resampling_fn_data": "resample_data_or_seg_to_shape",
            "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, **resampling},
            "resampling_fn_seg": "resample_data_or_seg_to_shape",
            "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, **resampling},
            "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
            "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, **resampling},
            "architecture": architecture,
            "batch_dice": False,
            "dycon": settings,
        }
        return {
            "dataset_name": DATASET_NAME,
            "plans_name": "nnUNetPlans",
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {CONFIGURATION: configuration},
            "label_manager": "LabelManager",
            # Z-score normalization reads none of them.
            "foreground_intensity_properties_per_channel": {str(channel): {} for channel in range(self.channels)},
        }
