"""Making raw datasets in nnU-Net's layout."""
