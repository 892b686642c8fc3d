"""Bad input in nnU-Net's folders and variables, and results that are in the way."""

from __future__ import annotations

import json
import shutil

import torch

from tests.bad_input.row import (
    DEMO,
    DETERMINE_POSTPROCESSING,
    DOCTOR,
    EXPORT,
    PLAN,
    PREPROCESS,
    PSEUDO_LABEL,
    SELF_TRAIN,
    SIMULATE,
    TRAIN,
    UNCERTAINTY,
    Place,
    Prepare,
    Row,
    run,
    write,
)

MODEL = "nnUNetTrainerDyCON_1epoch__nnUNetPlansSmall__3d_fullres"
EXPORT_IT = f"{EXPORT} -tr nnUNetTrainerDyCON_1epoch"
PREDICT_IT = f"{UNCERTAINTY} -tr nnUNetTrainerDyCON_1epoch"


def variable(name: str, value: str | None) -> Prepare:
    """A variable with a value, or without."""

    def prepare(place: Place) -> None:
        if value is None:
            place.monkeypatch.delenv(name)
        else:
            place.monkeypatch.setenv(name, value)

    return prepare


def a_file_in_place_of_results(place: Place) -> None:
    write(place.workspace.root / "file", b"")
    place.monkeypatch.setenv("nnUNet_results", str(place.workspace.root / "file" / "results"))


def results(fold: int = 1, plans: str | None = None, checkpoint: bytes | None = b"", **settings: object) -> Prepare:
    """A results folder in which a fold has a checkpoint."""

    def prepare(place: Place) -> None:
        folder = place.workspace.results / MODEL
        content = place.workspace.read_plans()
        content["configurations"]["3d_fullres"]["dycon"] = settings
        write(folder / "plans.json", json.dumps(content) if plans is None else plans)
        write(folder / "dataset.json", json.dumps(place.workspace.read_dataset_json()))
        if checkpoint is not None:
            write(folder / f"fold_{fold}" / "checkpoint_final.pth", checkpoint)

    return prepare


def results_of_nnunet(place: Place) -> None:
    results(checkpoint=b"")(place)
    keys = [
        "network_weights",
        "optimizer_state",
        "grad_scaler_state",
        "logging",
        "_best_ema",
        "current_epoch",
        "init_args",
    ]
    checkpoint = {**dict.fromkeys(keys), "trainer_name": "nnUNetTrainer"}
    torch.save(checkpoint, place.workspace.results / MODEL / "fold_1" / "checkpoint_final.pth")


def without_dataset_json(place: Place) -> None:
    results()(place)
    (place.workspace.results / MODEL / "dataset.json").unlink()


def no_raw_data(place: Place) -> None:
    shutil.rmtree(place.workspace.raw)


def two_of_an_id(place: Place) -> None:
    (place.workspace.raw.parent / "Dataset501_Other").mkdir()


def folder_in_use(place: Place) -> None:
    write(place.workspace.root / "DEMO" / "thesis.txt", b"")


def earlier_demo(place: Place) -> None:
    write(place.workspace.root / "DEMO" / "demo.json", b"{}")


def preprocessed_before(place: Place) -> None:
    code, _, err = run(PREPROCESS, place)
    assert code == 0, err
    place.monkeypatch.delenv("nnUNet_raw")


def a_file(name: str) -> Prepare:
    """A file in the working directory."""
    return lambda place: write(place.workspace.root / name, b"")


ROWS = [
    Row(
        "nnUNet_results that is not set",
        (TRAIN, EXPORT_IT, UNCERTAINTY, SELF_TRAIN),
        "the environment variable nnUNet_results is not set: export nnUNet_results=FOLDER",
        variable("nnUNet_results", None),
    ),
    Row(
        "a number of processes that is none",
        (DOCTOR, PREPROCESS),
        "the environment variable nnUNet_n_proc_DA must be a whole number, not 'two': correct it",
        variable("nnUNet_n_proc_DA", "two"),
    ),
    Row(
        "nnUNet_results that is empty",
        (TRAIN, EXPORT_IT, UNCERTAINTY, SELF_TRAIN),
        "the environment variable nnUNet_results is empty: export nnUNet_results=FOLDER",
        variable("nnUNet_results", ""),
    ),
    Row(
        "nnUNet_preprocessed that is not set",
        (TRAIN, PREPROCESS, PLAN, SELF_TRAIN, DETERMINE_POSTPROCESSING),
        "the environment variable nnUNet_preprocessed is not set: export",
        variable("nnUNet_preprocessed", None),
    ),
    Row(
        "nnUNet_preprocessed that is empty",
        (TRAIN, PREPROCESS, PLAN, SELF_TRAIN, DETERMINE_POSTPROCESSING),
        "the environment variable nnUNet_preprocessed is empty: export",
        variable("nnUNet_preprocessed", ""),
    ),
    Row(
        "nnUNet_raw that is not set",
        (SIMULATE, PSEUDO_LABEL, SELF_TRAIN, DETERMINE_POSTPROCESSING),
        "the environment variable nnUNet_raw is not set: export",
        variable("nnUNet_raw", None),
    ),
    Row(
        "nnUNet_raw that is empty",
        (SIMULATE, PSEUDO_LABEL, SELF_TRAIN, DETERMINE_POSTPROCESSING),
        "the environment variable nnUNet_raw is empty: export",
        variable("nnUNet_raw", ""),
    ),
    Row(
        "a variable that is not set",
        (DOCTOR,),
        "nnUNet_results is not set: before nnU-Net can use data, choose",
        variable("nnUNet_results", None),
    ),
    Row(
        "a folder that is not there",
        (DOCTOR,),
        "nnUNet_results=/dev/null/results is not there: make the folder or correct",
        variable("nnUNet_results", "/dev/null/results"),
    ),
    Row(
        "results that cannot be written",
        (TRAIN,),
        "fold_0 cannot be written (Not a directory): change its permissions, or nnUNet_results",
        a_file_in_place_of_results,
    ),
    Row(
        "two datasets of one ID",
        (TRAIN, PREPROCESS, SIMULATE),
        "2 datasets with the ID ... 501 (Dataset501_Other, Dataset501_Tiny): remove or rename all but one",
        two_of_an_id,
    ),
    Row(
        "no raw data, and unlabeled scans that are not preprocessed",
        (TRAIN, PREPROCESS),
        "Dataset501_Tiny has no unlabeled scans: ... (there are no raw data of Dataset501_Tiny here) is empty",
        no_raw_data,
    ),
    Row(
        "no raw data",
        (SIMULATE, PSEUDO_LABEL, SELF_TRAIN, DETERMINE_POSTPROCESSING),
        "no dataset with the ID or name 501: correct the ID or name, or the environment variable",
        no_raw_data,
    ),
    Row(
        "results of other settings in the folder",
        (TRAIN,),
        "holds results of other settings (uncl_weight: 3 there, 1.0 now) ... Make plans of another name",
        results(uncl_weight=3),
    ),
    Row(
        "plans.json of results cut short, beside another fold's checkpoint",
        (TRAIN,),
        "plans.json is not readable as JSON (... correct the file Or remove it: training writes it anew",
        results(plans='{"configurations": {'),
    ),
    Row(
        "a model whose plans.json is cut short",
        (EXPORT_IT, PREDICT_IT),
        "plans.json is not readable as JSON",
        results(plans="{"),
    ),
    Row(
        "a model without dataset.json",
        (EXPORT_IT, PREDICT_IT),
        "there is no file ... dataset.json: check the path",
        without_dataset_json,
    ),
    Row(
        "a model without checkpoint",
        (EXPORT_IT, PREDICT_IT),
        "fold of ... has a checkpoint_final.pth. Train to the end, ... with -chk",
        results(checkpoint=None),
    ),
    Row(
        "a model of nnU-Net's own trainer",
        (EXPORT_IT,),
        "was not written by a semi-supervised trainer; nnU-Net exports it itself",
        results_of_nnunet,
    ),
    Row(
        "no trained model",
        (EXPORT_IT, PREDICT_IT),
        "is not a trained model: there is no plans.json. Check -d, -c, -p and -tr",
    ),
    Row(
        "an output that is there",
        (EXPORT_IT,),
        "MODEL is there already: remove it or choose another name",
        a_file("MODEL"),
    ),
    Row(
        "a file for the postprocessing that is there",
        (DETERMINE_POSTPROCESSING,),
        "postprocessing.pkl is there already: remove it or choose another name",
        a_file("postprocessing.pkl"),
    ),
    Row(
        "a file where a folder is to be",
        (f"{EXPORT_IT.replace('-o MODEL', '-o MODEL/model.zip')}",),
        "MODEL: File exists. Check this path",
        lambda place: (results_of_nnunet(place), a_file("MODEL")(place)),
    ),
    Row(
        "a folder that is in use",
        (DEMO,),
        "DEMO is in use and was not made by the demo: choose another folder with -o",
        folder_in_use,
    ),
    Row(
        "an earlier demo",
        (DEMO,),
        "DEMO holds an earlier demo: choose another folder with -o, or give --overwrite",
        earlier_demo,
    ),
    Row("a file in place of the demo's folder", (DEMO,), "DEMO is in use and was not made by the demo", a_file("DEMO")),
    Row(
        "a file above the demo's folder",
        ("demo -o FILE/demo",),
        "FILE/demo: Not a directory. Check this path",
        a_file("FILE"),
    ),
]
ACCEPTED = [
    Row(
        "nnUNet_raw that is not set, once unlabeled scans are preprocessed: only what is preprocessed is used",
        (PREPROCESS,),
        "4 unlabeled cases are ready",
        preprocessed_before,
        0,
    ),
]
