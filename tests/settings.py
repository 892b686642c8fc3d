"""Settings of methods that several tests use."""

# For tests that look at the first steps of a training.
FULL_WEIGHTS_AT_ONCE = {"warmup_fraction": 0, "rampup_fraction": 0, "wait_for_labels": False}
# DyCON as release 0.1.0 had it by default.
SOFT_TARGETS = {
    "cutmix_fraction": 0,
    "copy_paste_share": 1,
    "uncl_distance": "probabilities",
    "fecl_weight": 0.1,
}
