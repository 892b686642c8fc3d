"""All trainers of this package under the names by which nnU-Net looks them up."""

from nnunetv2_dycon.exceptions import print_user_errors_without_traceback
from nnunetv2_dycon.trainers import *  # noqa: F403

# nnU-Net looks for the plans before it makes a trainer, so the trainer's constructor is too late for the sentence on
# missing plans. Nothing but nnU-Net's search for a trainer imports this module: a program that imports the package as a
# library keeps its own hook.
print_user_errors_without_traceback()
