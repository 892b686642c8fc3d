"""Presets: network, patch and length of the trainings on a dataset."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """What all runs on a dataset share, so that arms differ in nothing but the method.

    Attributes:
        name: its key in :data:`PRESETS`.
        channel_name: nnU-Net's channel name for a dataset that has no dataset.json.
        label_names: names of the labels 1, 2, ... for a dataset that has no dataset.json; empty for made-up names.
        patch_size: (axes in nnU-Net's order) in voxels; None keeps nnU-Net's own plans.
        features: channels of each stage, highest resolution first; None keeps nnU-Net's own plans.
        convolutions: of each stage, in encoder and decoder alike, where `features` are given; nnU-Net plans 2.
        batch_size: patches of a batch; None keeps nnU-Net's own.
        epochs: of a training.
        steps: training steps of an epoch.
        validation_steps: validation steps of an epoch, which give the pseudo-Dice.
        initial_learning_rate: of nnU-Net's SGD with polynomial decay.
        bfloat16_on_cpu: whether training and prediction on a CPU compute in bfloat16 where that is safe, as nnU-Net
            does in float16 on a GPU.
    """

    name: str
    channel_name: str
    label_names: tuple[str, ...]
    patch_size: tuple[int, int, int] | None
    features: tuple[int, ...] | None
    convolutions: tuple[int, ...]
    batch_size: int | None
    epochs: int
    steps: int
    validation_steps: int
    initial_learning_rate: float = 0.01
    bfloat16_on_cpu: bool = True


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="hippocampus",
            channel_name="MRI",
            label_names=("anterior", "posterior"),
            patch_size=(32, 48, 32),
            features=(8, 32, 64, 128),
            convolutions=(1, 2, 2, 2),
            batch_size=2,
            epochs=20,
            steps=100,
            validation_steps=16,
            initial_learning_rate=0.03,
        ),
        Preset(
            name="lung_nodules",
            channel_name="CT",
            label_names=("nodule",),
            patch_size=(16, 48, 48),
            features=(8, 32, 64, 128),
            convolutions=(1, 2, 2, 2),
            batch_size=2,
            epochs=20,
            steps=100,
            validation_steps=16,
            initial_learning_rate=0.03,
        ),
        # nnU-Net as it is, for GPUs.
        Preset(
            name="planned",
            channel_name="MRI",
            label_names=(),
            patch_size=None,
            features=None,
            convolutions=(),
            batch_size=None,
            epochs=1000,
            steps=250,
            validation_steps=50,
            bfloat16_on_cpu=False,
        ),
    )
}
