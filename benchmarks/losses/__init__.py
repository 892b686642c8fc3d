"""Time and memory of the losses against a straightforward implementation of the released formulas."""
