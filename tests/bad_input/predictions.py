"""Bad input of ``nnunetv2_dycon uncertainty``, beside models that cannot be used, which are among folders."""

from __future__ import annotations

import re

import torch

from tests.bad_input.environment import MODEL, PREDICT_IT, results
from tests.bad_input.row import SCANS, UNCERTAINTY, Place, Prepare, Row

CHECKPOINT = {
    "network_weights": {},
    "optimizer_state": None,
    "grad_scaler_state": None,
    "logging": {},
    "_best_ema": None,
    "current_epoch": 1,
    "init_args": {"configuration": "3d_fullres"},
    "trainer_name": "nnUNetTrainerDyCON_1epoch",
}


def model(place: Place) -> None:
    """A model that passes for one until its weights are needed."""
    results()(place)
    torch.save(CHECKPOINT, place.workspace.results / MODEL / "fold_1" / "checkpoint_final.pth")


def with_scan_named(name: str | None) -> Prepare:
    """A model, and the first of two scans with another name, or no scans."""

    def prepare(place: Place) -> None:
        model(place)
        first, second = sorted((place.workspace.root / SCANS).glob("*.nii.gz"))
        if name is None:
            first.unlink()
            second.unlink()
        else:
            first.rename(first.with_name(name))

    return prepare


def without_a_configuration(place: Place) -> None:
    model(place)
    torch.save({**CHECKPOINT, "init_args": {}}, place.workspace.results / MODEL / "fold_1" / "checkpoint_final.pth")


ROWS = [
    Row(
        "a checkpoint that does not say of which configuration it is",
        (PREDICT_IT,),
        "checkpoint_final.pth does not say of which configuration it is, as nnU-Net's checkpoints do. Name another",
        without_a_configuration,
    ),
    Row(
        "a model that is named twice, or not at all",
        (f"{UNCERTAINTY} -m MODEL", UNCERTAINTY.replace(" -d 501", "")),
        "Name the model: either by its dataset, -d with -c, -p and -tr, or by its folder, -m",
    ),
    Row(
        "a sliding window that cannot move",
        (f"{UNCERTAINTY} -step_size 0", f"{UNCERTAINTY} -step_size 2"),
        "-step_size must be above 0 and at most 1, not",
    ),
    Row(
        "scans and output in one folder",
        (re.sub("-i [^ ]+", "-i OUT", re.sub("-o [^ ]+", "-o OUT", UNCERTAINTY)),),
        "-i and -o are both OUT: name another folder after -o",
    ),
    Row("no process for preprocessing", (f"{UNCERTAINTY} -npp 0",), "-npp must be at least 1, not 0"),
    Row("a fold that is no number", (f"{PREDICT_IT} -f first",), "-f must be numbers or all, not first", results()),
    Row(
        "a fold that is named twice",
        (f"{PREDICT_IT} -f 0 0",),
        "-f names the fold 0 twice, which would count twice in all means: name it once",
        results(),
    ),
    Row(
        "a checkpoint named after a path",
        (f"{PREDICT_IT} -chk ../checkpoint_final.pth",),
        "does not name a checkpoint of a fold: correct -chk",
        results(),
    ),
    Row("a checkpoint that is cut short", (PREDICT_IT,), "cannot be read as a checkpoint", results(checkpoint=b"")),
    Row(
        "a folder of scans that is not there",
        (PREDICT_IT.replace("imagesTs", "imagesTest"),),
        "imagesTest is not a folder: name the one with the scans after -i",
        model,
    ),
    Row("no scans", (PREDICT_IT,), "has no scans: nnU-Net expects CASE_0000.nii.gz there", with_scan_named(None)),
    Row(
        "a scan without channel number",
        (PREDICT_IT,),
        "scan.nii.gz is not named like a scan: name it CASE_0000.nii.gz, one file a channel",
        with_scan_named("scan.nii.gz"),
    ),
    Row(
        "a channel that is missing, with one that the model does not know",
        (PREDICT_IT,),
        "has the channels 0001, but the model needs 1, from 0000 on: add the missing files",
        with_scan_named("scan_0001.nii.gz"),
    ),
    Row(
        "predictions for a model that is no cascade",
        (f"{PREDICT_IT} -prev_stage_predictions nnUNet_raw",),
        "is no cascade and takes no predictions: leave -prev_stage_predictions out",
        model,
    ),
]
