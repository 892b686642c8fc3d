"""Bad input in splits_final.json."""

from __future__ import annotations

import json

import torch

from tests.bad_input.row import DOCTOR, PREPROCESS, PSEUDO_LABEL, SELF_TRAIN, TRAIN, Place, Prepare, Row, write

TRAINED, VALIDATED = [f"demo_{index:03d}" for index in range(4)], ["demo_004", "demo_005"]
GOOD = {"train": TRAINED, "val": VALIDATED}
ALL = (TRAIN, DOCTOR, PREPROCESS)


def splits(content: object) -> Prepare:
    """A splits_final.json with this text, these bytes or this content."""
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    return lambda place: write(place.workspace.preprocessed / "splits_final.json", text)


def fold(**changes: object) -> Prepare:
    """A splits_final.json whose only fold is changed."""
    return splits([{**GOOD, **changes}])


def splits_folder(place: Place) -> None:
    file = place.workspace.preprocessed / "splits_final.json"
    file.unlink()
    file.mkdir()


def splits_that_are_a_broken_link(place: Place) -> None:
    file = place.workspace.preprocessed / "splits_final.json"
    file.unlink()
    file.symlink_to("moved/splits_final.json")


def splits_and_a_fourth_of_the_labels_are_gone(place: Place) -> None:
    (place.workspace.preprocessed / "splits_final.json").unlink()
    for file in (place.workspace.preprocessed / "nnUNetPlans_3d_fullres").glob("demo_00[01]*"):
        file.unlink()


def a_model_of_other_folds(place: Place) -> None:
    model = place.workspace.results / "nnUNetTrainerDyCON__nnUNetPlansSmall__3d_fullres" / "fold_0"
    (model / "validation").mkdir(parents=True)
    torch.save({}, model / "checkpoint_final.pth")
    (model / "validation" / "demo_003.nii.gz").touch()


ROWS = [
    Row(
        "a comma too many",
        (*ALL, SELF_TRAIN),
        "splits_final.json is not readable as JSON (... correct the file",
        splits('[{"train": ["demo_000"], "val": ["demo_001"],}]'),
    ),
    Row("a byte order mark (BOM)", ALL, "save it as UTF-8 without BOM", splits(b"\xef\xbb\xbf[]")),
    Row(
        "text that is not UTF-8",
        ALL,
        "splits_final.json is not readable as JSON (it is no UTF-8 text): save it as UTF-8",
        splits('[{"train": ["k\xf6rper"], "val": []}]'.encode("latin-1")),
    ),
    Row("an empty file", ALL, "splits_final.json is not readable as JSON (it is empty)", splits("")),
    Row("a folder of that name", ALL, "splits_final.json cannot be read as a file (it is a folder)", splits_folder),
    Row(
        "a link to nothing of that name, so that nnU-Net would make folds of all labels",
        ALL,
        "splits_final.json is a link to moved/splits_final.json, which is not there: correct the link, or remove it",
        splits_that_are_a_broken_link,
    ),
    Row(
        "an object in place of the list of folds",
        ALL,
        "splits_final.json must hold a list of folds, each with the lists 'train' and 'val', not {... Correct the file",
        splits(GOOD),
    ),
    Row(
        "a text in place of a list of cases",
        ALL,
        '[0].train must be a list of case names, not "demo_003". Correct the file, which must hold a list of folds',
        fold(train="demo_003"),
    ),
    Row("null in place of a list", ALL, "[0].val must be a list of case names, not null", fold(val=None)),
    Row("a number in place of a case", ALL, "[0].train[1] must be a name ..., not 7", fold(train=["demo_000", 7])),
    Row("a fold without a key", ALL, "[0] lacks the key val. Correct the file", splits([{"train": TRAINED}])),
    Row(
        "a key twice in a fold",
        ALL,
        'splits_final.json is not readable as JSON (the key "train" comes twice)',
        splits('[{"train": ["demo_000"], "train": ["demo_001"], "val": ["demo_002"]}]'),
    ),
    Row(
        'the key "unlabelled", whose cases would be trained on with their labels',
        ALL,
        '[0] has the key "unlabelled", which is none of train, val, unlabeled (did you mean "unlabeled"?). Correct',
        fold(train=TRAINED[:3], unlabelled=["demo_003"]),
    ),
    Row(
        'the key "Unlabeled"',
        ALL,
        '[0] has the key "Unlabeled", which is none of train, val, unlabeled (did you mean "unlabeled"?). Correct',
        fold(train=TRAINED[:3], Unlabeled=["demo_003"]),
    ),
    Row(
        "a case that is to be trained on and off limits",
        (TRAIN, DOCTOR),
        'lists demo_003 under "unlabeled" and under "train". Remove them from one of the two',
        fold(unlabeled=["demo_003"]),
    ),
    Row(
        "labels off limits, and a fold that nnU-Net would make up",
        (TRAIN.replace(" 0 ", " all "), TRAIN.replace(" 0 ", " 4 ")),
        "puts the labels of 1 cases off limits ... and nnU-Net would train on them. Train one of its folds",
        fold(train=TRAINED[:3], unlabeled=["demo_003"]),
    ),
    Row(
        "labels off limits, and self-training",
        (PSEUDO_LABEL, SELF_TRAIN),
        "puts labels off limits ... make a dataset with ... simulate",
        fold(train=TRAINED[:3], unlabeled=["demo_003"]),
    ),
    Row(
        "an unlabeled case that is not there",
        ALL,
        "splits_final.json lists nobody under ... no such training case. Correct the names",
        fold(unlabeled=["nobody"]),
    ),
    Row(
        "a case named after a path",
        ALL,
        '[0].train[0] must be a name without "/" ..., not "../../pwned"',
        fold(train=["../../pwned"]),
    ),
    Row(
        "a case to train on that is not preprocessed",
        (TRAIN, DOCTOR),
        "demo_099 lacks preprocessed data in ...: correct the names in ..., or run nnUNetv2_preprocess",
        fold(train=[*TRAINED, "demo_099"]),
    ),
    Row("no case to train on", (TRAIN, DOCTOR), '"train" of fold 0 of ... is empty', fold(train=[])),
    Row("no case to validate on", (TRAIN, DOCTOR), '"val" of fold 0 of ... is empty', fold(val=[])),
    Row("a negative fold", (TRAIN.replace(" 0 ", " -1 "),), "There is no fold -1: train one from 0 on, or all"),
    Row(
        "fewer labeled cases than nnU-Net's five folds, and no file",
        (TRAIN,),
        "has 4 cases, and nnU-Net makes 5 folds: train fold all",
        splits_and_a_fourth_of_the_labels_are_gone,
    ),
    Row(
        "folds that have changed since a model was trained",
        (SELF_TRAIN,),
        "fold 0 has other validation cases (demo_004, demo_005) than when ... was trained (demo_003) ... restore ",
        a_model_of_other_folds,
    ),
]
ACCEPTED = [
    Row(
        "a case twice in a list of a fold: it is drawn twice as often",
        (DOCTOR,),
        "6 labeled",
        fold(train=TRAINED * 2),
        0,
    ),
    Row("a case in `train` and in `val`: nnU-Net warns", (DOCTOR,), "6 labeled", fold(train=TRAINED + VALIDATED), 0),
]
