"""Hard pseudo-labels without what is likely to be wrong in them; the other losses do without SciPy."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def largest_components(pseudo_labels: Tensor) -> Tensor:
    """Keep the largest connected component of each foreground class, or region, of each patch; the rest is background.

    Voxels that touch at a corner are connected, as in nnU-Net's postprocessing. Computed on the CPU, which waits for
    the device.

    Args:
        pseudo_labels: from :meth:`~nnunetv2_dycon.losses.label_space.LabelSpace.harden`, as is the result.
    """
    labels = pseudo_labels.cpu().numpy()
    result = np.zeros_like(labels)
    for patch, kept in zip(labels.reshape(-1, *labels.shape[2:]), result.reshape(-1, *labels.shape[2:]), strict=True):
        for value in np.unique(patch[patch != 0]):
            components, _ = ndimage.label(patch == value, structure=np.ones((3,) * patch.ndim))
            sizes = np.bincount(components.ravel())
            sizes[0] = 0
            kept[components == sizes.argmax()] = value
    return torch.from_numpy(result).to(pseudo_labels.device)
