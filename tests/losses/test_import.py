"""The losses are for everybody: they need no nnU-Net."""

from __future__ import annotations

import subprocess
import sys

IMPORT_ALL_WITHOUT_NNUNET = """
import importlib, pkgutil, sys
for name in ("nnunetv2", "batchgenerators", "batchgeneratorsv2", "dynamic_network_architectures", "SimpleITK"):
    sys.modules[name] = None
import nnunetv2_dycon.losses as losses
for module in pkgutil.iter_modules(losses.__path__):
    importlib.import_module(f"{losses.__name__}.{module.name}")
for name in losses.__all__:
    getattr(losses, name)
"""


def test_all_losses_are_importable_without_nnunet() -> None:
    subprocess.run([sys.executable, "-c", IMPORT_ALL_WITHOUT_NNUNET], check=True)
