"""All trainers of this package under the names by which nnU-Net looks them up."""

from nnunetv2_dycon.trainers import *  # noqa: F403
