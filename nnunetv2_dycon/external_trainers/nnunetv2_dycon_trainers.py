"""All trainers of this package under the names by which nnU-Net looks them up."""

from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON as nnUNetTrainerDyCON
from nnunetv2_dycon.training.nnUNetTrainer.variants.training_length.nnUNetTrainerDyCON_Xepochs import *  # noqa: F403
