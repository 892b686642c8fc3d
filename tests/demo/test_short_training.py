from __future__ import annotations

import ast
import inspect
import json
from pathlib import Path

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnunetv2_dycon.demo.short_training import DYCON_TRAINER, PLAIN_TRAINER, write_short_trainers, write_small_plans

STRIDES = [[1, 1, 1], [1, 2, 2], [2, 2, 2]]


def test_both_trainers_keep_the_signature_and_set_the_lengths(tmp_path: Path) -> None:
    write_short_trainers(tmp_path / "trainers", epochs=3, steps=7, validation_steps=2, seed=11)
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
        # Beyond the name and the class they build on, the two are the same.
    plain, dycon = (ast.unparse(classes[name].body[1:]) for name in (PLAIN_TRAINER, DYCON_TRAINER))
    assert plain == dycon
    assert [line for line in plain.splitlines() if "seed(11)" in line]


def test_plans_shrink_and_keep_the_preprocessed_data(tmp_path: Path) -> None:
    network = {
        "n_stages": 4,
        "features_per_stage": [32, 64, 128, 256],
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [1, 2, 2]],
        "kernel_sizes": [[3, 3, 3]] * 4,
        "n_conv_per_stage": [2, 2, 2, 2],
        "n_conv_per_stage_decoder": [2, 2, 2],
        "conv_bias": True,
    }
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "batch_size": 8,
        "patch_size": [20, 32, 40],
        "architecture": {"arch_kwargs": network},
    }
    plans = {"plans_name": "nnUNetPlans", "configurations": {"3d_fullres": configuration, "2d": {"batch_size": 12}}}
    (tmp_path / "nnUNetPlans.json").write_text(json.dumps(plans))
    write_small_plans(tmp_path, "3d_fullres", "Small")
    small = json.loads((tmp_path / "Small.json").read_text())
    assert small["plans_name"] == "Small"
    assert small["configurations"]["2d"] == {"batch_size": 12}
    changed = small["configurations"]["3d_fullres"]
    assert changed["data_identifier"] == "nnUNetPlans_3d_fullres"
    assert changed["batch_size"] == 2
    assert changed["patch_size"] == [16, 24, 32]
    assert "dycon" not in changed
    assert changed["architecture"]["arch_kwargs"] == {
        "n_stages": 3,
        "features_per_stage": [8, 16, 32],
        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        "kernel_sizes": [[3, 3, 3]] * 3,
        "n_conv_per_stage": [1, 1, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
    }
    assert json.loads((tmp_path / "nnUNetPlans.json").read_text()) == plans
