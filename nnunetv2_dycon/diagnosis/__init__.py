"""What ``nnunetv2_dycon doctor`` checks: the installation, a dataset, and its trainings."""
