"""Settings of methods that several tests use."""

# For tests that look at the first steps of a training.
FULL_WEIGHTS_AT_ONCE = {"warmup_fraction": 0, "rampup_fraction": 0, "wait_for_labels": False}
# As it was by default in release 0.1.0.
WITH_FECL = {"fecl_weight": 0.1}
# The boxes of release 0.1.0: a labeled one in every unlabeled patch, and no others.
LABELED_BOXES = {"cutmix_fraction": 0, "copy_paste_share": 1}
