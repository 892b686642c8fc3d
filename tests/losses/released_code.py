"""Inputs, values and gradients of DyCON's released code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


def released_case(shared_folder: Path, **keys: str) -> dict[str, Any]:
    """The one case with these keys, such as its name: arguments and value."""
    cases = json.loads((shared_folder / "golden" / "dycon_reference_losses.json").read_text())
    (case,) = [case for case in cases if keys.items() <= case.items()]
    return case


def released_arrays(shared_folder: Path, loss: str, name: str) -> dict[str, Tensor]:
    """All inputs of a case of a loss, and the gradients."""
    with np.load(shared_folder / "golden" / "dycon_reference_losses.npz") as arrays:
        return {
            array.rpartition("/")[2]: torch.from_numpy(arrays[array])
            for array in arrays.files
            if array.startswith(f"{loss}/{name}/")
        }
