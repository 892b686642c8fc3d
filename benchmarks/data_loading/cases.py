"""What the loaders are measured on."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.common.configuration import Configuration

# The network does nothing here.
_FEATURES = (4, 4, 4, 4)


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        configuration: patch, batch size and channels.
        scan_shape: typical size of a scan, in voxels.
    """

    configuration: Configuration
    scan_shape: tuple[int, int, int]


CASES = {
    # As nnU-Net plans for the hippocampus of the Medical Segmentation Decathlon.
    "hippocampus": Case(Configuration((40, 56, 40), _FEATURES), (40, 52, 38)),
    # As for CT of the abdomen.
    "one-channel": Case(Configuration((128, 128, 128), _FEATURES), (160, 192, 160)),
    # As for MRI of the brain in four sequences.
    "four-channels": Case(Configuration((128, 128, 128), _FEATURES, channels=4), (160, 192, 160)),
    # Shows in seconds that the benchmark works.
    "tiny": Case(Configuration((16, 16, 16), _FEATURES[:3]), (20, 24, 20)),
}
DEFAULT_CASES = ("hippocampus", "one-channel", "four-channels")
