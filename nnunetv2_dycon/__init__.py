"""Semi-supervised training for stock nnU-Net v2: a mean teacher with DyCON's two losses.

This module is imported at interpreter start-up by the installed ``.pth`` file, so it imports nothing.
"""

__version__ = "0.2.0"
