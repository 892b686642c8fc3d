"""Patches a second of the two-view stream against nnU-Net's training loader."""
