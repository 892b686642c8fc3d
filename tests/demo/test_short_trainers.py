from __future__ import annotations

import ast
import inspect
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.demo.short_trainers import DYCON_TRAINER, PLAIN_TRAINER, write_short_trainers


def test_both_trainers_keep_the_signature_and_set_the_lengths(tmp_path: Path) -> None:
    write_short_trainers(tmp_path / "trainers", epochs=3, steps=7, validation_steps=2)
    tree = ast.parse((tmp_path / "trainers" / "demo_trainers.py").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {name: ast.unparse(node.bases[0]) for name, node in classes.items()} == {
        PLAIN_TRAINER: "nnUNetTrainer",
        DYCON_TRAINER: "nnUNetTrainerDyCON",
    }
    for node in classes.values():
        initialiser = next(part for part in node.body if getattr(part, "name", "") == "__init__")
        assert [argument.arg for argument in initialiser.args.args] == list(
            inspect.signature(nnUNetTrainer.__init__).parameters
        )
        assert "self.num_epochs = 3" in ast.unparse(initialiser)
        assert "self.num_iterations_per_epoch = 7" in ast.unparse(initialiser)
        assert "self.num_val_iterations_per_epoch = 2" in ast.unparse(initialiser)
