"""Time and memory of nnUNetTrainerDyCON's training step against nnUNetTrainer's."""
