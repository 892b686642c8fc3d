"""All trainers of this package under the names by which nnU-Net looks them up."""

from nnunetv2_dycon.exceptions import print_user_errors_without_traceback
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerBCP import nnUNetTrainerBCP as nnUNetTrainerBCP
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerCoTraining import (
    nnUNetTrainerCoTraining as nnUNetTrainerCoTraining,
)
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCON import nnUNetTrainerDyCON as nnUNetTrainerDyCON
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerDyCONCoTraining import (
    nnUNetTrainerDyCONCoTraining as nnUNetTrainerDyCONCoTraining,
)
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerMeanTeacher import (
    nnUNetTrainerMeanTeacher as nnUNetTrainerMeanTeacher,
)
from nnunetv2_dycon.training.nnUNetTrainer.nnUNetTrainerUAMT import nnUNetTrainerUAMT as nnUNetTrainerUAMT
from nnunetv2_dycon.training.nnUNetTrainer.variants.training_length.nnUNetTrainerDyCON_Xepochs import *  # noqa: F403

# nnU-Net looks for the plans before it makes a trainer, so the trainer's constructor is too late for the sentence on
# missing plans. Nothing but nnU-Net's search for a trainer imports this module: a program that imports the package as a
# library keeps its own hook.
print_user_errors_without_traceback()
