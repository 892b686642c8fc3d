"""The folder that nnU-Net searches for this package's trainers. It holds no code of its own.

nnU-Net forgets the modules of such a folder once it has found a class, and a class whose module is gone cannot be
pickled. So the trainers live in ``nnunetv2_dycon.trainers`` and are only imported here.
"""
