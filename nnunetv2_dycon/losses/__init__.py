"""Losses of semi-supervised segmentation in plain PyTorch: DyCON's UnCL and FeCL, and those of the methods beside it.

Nothing here needs nnU-Net.
"""

from nnunetv2_dycon.losses.cell_labels import (
    CellLabels,
    cell_labels_from_probabilities,
    cell_labels_from_target,
    mean_over_cells,
)
from nnunetv2_dycon.losses.fecl import FeCL, fecl_loss
from nnunetv2_dycon.losses.galoss import gace_loss, gadice_loss
from nnunetv2_dycon.losses.label_space import Classes, LabelSpace, Regions
from nnunetv2_dycon.losses.reduction import Reduction, ReductionOverProcesses
from nnunetv2_dycon.losses.segmentation import dice_and_cross_entropy, softmax_mse
from nnunetv2_dycon.losses.uncl import UnCL, UnCLTerms, uncl_loss, uncl_terms
from nnunetv2_dycon.losses.uncl_pseudo_labels import PseudoLabelTerms, uncl_of_pseudo_labels

__all__ = [
    "CellLabels",
    "Classes",
    "FeCL",
    "LabelSpace",
    "PseudoLabelTerms",
    "Reduction",
    "ReductionOverProcesses",
    "Regions",
    "UnCL",
    "UnCLTerms",
    "cell_labels_from_probabilities",
    "cell_labels_from_target",
    "dice_and_cross_entropy",
    "fecl_loss",
    "gace_loss",
    "gadice_loss",
    "mean_over_cells",
    "softmax_mse",
    "uncl_loss",
    "uncl_of_pseudo_labels",
    "uncl_terms",
]
