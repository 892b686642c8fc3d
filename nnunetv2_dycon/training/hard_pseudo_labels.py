"""Hard pseudo-labels from a teacher's logits."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def hard_pseudo_labels(logits: Tensor, *, regions: bool = False) -> Tensor:
    """The most probable class of each voxel, or whether each region has it.

    Args:
        logits: (B, C, *spatial), any floating point type.
        regions: the channels are regions and not classes.

    Returns:
        (B, 1, *spatial) int16 classes, the lowest where several are equally probable; for regions (B, C, *spatial)
        booleans, true above a probability of 0.5.
    """
    if regions:
        return logits > 0
    # Not argmax, which takes five to ten times as long on a CPU.
    best = logits[:, :1]
    classes = torch.zeros(best.shape, dtype=torch.int16, device=logits.device)
    for index in range(1, logits.shape[1]):
        logit = logits[:, index : index + 1]
        classes.masked_fill_(logit > best, index)
        best = torch.maximum(best, logit)
    return classes


def largest_components(pseudo_labels: Tensor) -> Tensor:
    """Keep the largest connected component of each foreground class, or region, of each patch.

    It is computed on the CPU, which waits for the device. Voxels that touch at a corner are connected, as in nnU-Net's
    postprocessing.

    Args:
        pseudo_labels: from :func:`hard_pseudo_labels`.

    Returns:
        As `pseudo_labels`; all other components are background.
    """
    labels = pseudo_labels.cpu().numpy()
    result = np.zeros_like(labels)
    for patch, kept in zip(labels.reshape(-1, *labels.shape[2:]), result.reshape(-1, *labels.shape[2:]), strict=True):
        for value in np.unique(patch[patch != 0]):
            kept[_largest_component(patch == value)] = value
    return torch.from_numpy(result).to(pseudo_labels.device)


def _largest_component(mask: np.ndarray) -> np.ndarray:
    components, _ = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    return components == sizes.argmax()
