"""What the training step is measured on."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.common.configuration import Configuration

CASES = {
    # What nnU-Net plans for the hippocampus of the Medical Segmentation Decathlon.
    "hippocampus": Configuration((40, 56, 40), (32, 64, 128, 256)),
    "patch64": Configuration((64, 64, 64), (32, 64, 128, 256, 320)),
    # Shows in seconds that the benchmark works.
    "tiny": Configuration((16, 16, 16), (4, 8, 8)),
}
DEFAULT_CASES = ("hippocampus", "patch64")
# From the first step on all of the method is in force, at its full weights.
SETTINGS = {"warmup_fraction": 0, "rampup_fraction": 0}


def scan_shape(configuration: Configuration) -> tuple[int, int, int]:
    """A size of scans that a patch fits into."""
    return tuple(size + size // 4 for size in configuration.patch_size)


def case(name: str, batch_size: int | None) -> Configuration:
    """A case by its name.

    Args:
        name: a key of CASES.
        batch_size: in place of the case's own, if not None.

    Returns:
        The configuration.
    """
    configuration = CASES[name]
    return configuration if batch_size is None else replace(configuration, batch_size=batch_size)
