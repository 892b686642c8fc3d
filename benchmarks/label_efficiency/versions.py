"""Versions of what a run depends on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import torch

from nnunetv2_dycon import __version__

_PACKAGES = (
    "nnunetv2",
    "torch",
    "batchgenerators",
    "batchgeneratorsv2",
    "dynamic-network-architectures",
    "numpy",
    "SimpleITK",
    "medpy",
)


def describe_packages(device: torch.device) -> dict[str, str]:
    """Names and versions of the packages, of Python and of the machine.

    Args:
        device: where the run was.

    Returns:
        Text by name.
    """
    return {
        "nnunetv2_dycon": __version__,
        **{name: version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU",
    }
