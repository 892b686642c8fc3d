"""Bad arguments of commands."""

from __future__ import annotations

from tests.bad_input.environment import EXPORT_IT, PREDICT_IT, results
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
    Place,
    Row,
    write,
)

WITHOUT_VALUE = PLAN.replace(" uncl_weight=2", "")
EVERY = (TRAIN, PREPROCESS, DOCTOR, PLAN, SIMULATE, EXPORT, PSEUDO_LABEL, SELF_TRAIN, DETERMINE_POSTPROCESSING)


def of_dataset(name: str) -> tuple[str, ...]:
    """All commands with another dataset."""
    return tuple(command.replace(" 501", f" {name}", 1) for command in EVERY)


def with_option(option: str, value: str) -> str:
    """nnUNetv2_train with another value of an option."""
    words = TRAIN.split()
    words[words.index(option) + 1] = value
    return " ".join(words)


def weights(place: Place) -> None:
    write(place.workspace.root / "weights.pth", b"no weights")


def taken(place: Place) -> None:
    (place.workspace.raw.parent / "Dataset601_Taken").mkdir()


def plans_of_that_name(place: Place) -> None:
    place.workspace.write_plans(place.workspace.read_plans(), "nnUNetPlansNew")


ROWS = [
    Row(
        "an ID that no dataset has",
        of_dataset("777"),
        "no dataset with the ID ... 777: correct the ID ... or the environment variable",
    ),
    Row(
        "a name that is none of a dataset",
        tuple(
            command
            for command in of_dataset("hippocampus")
            if command.split()[0] not in ("simulate", "self-train", "pseudo-label", "determine-postprocessing")
        ),
        "hippocampus is not the name of a dataset: that is DatasetXXX_NAME with three digits or more",
    ),
    Row(
        "a trainer that is not there",
        (
            with_option("-tr", "nnUNetTrainerDyCN"),
            f"{PLAN} -tr nnUNetTrainerDyCN",
            f"{EXPORT} -tr nnUNetTrainerDyCN",
            f"{SELF_TRAIN} -tr nnUNetTrainerDyCN",
        ),
        "nnUNetTrainerDyCN",
    ),
    Row(
        "a misspelled trainer",
        (with_option("-tr", "nnUNetTrainerDyCN"), f"{PLAN} -tr nnUNetTrainerDyCN"),
        "There is no trainer nnUNetTrainerDyCN. Did you mean nnUNetTrainerDyCON?",
    ),
    Row(
        "a length of training that no trainer has",
        (with_option("-tr", "nnUNetTrainerDyCON_3epochs"), f"{PLAN} -tr nnUNetTrainerDyCON_3epochs"),
        "There is no trainer nnUNetTrainerDyCON_3epochs: nnUNetTrainerDyCON trains for 1000 epochs, and with _1epoch, "
        "_5epochs, ...",
    ),
    Row(
        "a trainer without settings",
        (f"{PLAN} -tr nnUNetTrainer", "plan -tr nnUNetTrainer"),
        "nnUNetTrainer is not a semi-supervised trainer: it has neither teacher nor settings. Choose another with -tr",
    ),
    Row(
        "--val before the training has ended",
        (f"{TRAIN} --val",),
        "Cannot run validation because the training is not finished yet!",
    ),
    Row("--c and --val at once", (f"{TRAIN} --c --val",), "Cannot set --c and --val flag at the same time"),
    Row(
        "weights that are not there",
        (f"{TRAIN} -pretrained_weights nowhere.pth",),
        "-pretrained_weights nowhere.pth cannot be used (... No such file ...): give a checkpoint of nnU-Net",
    ),
    Row(
        "weights that are none",
        (f"{TRAIN} -pretrained_weights weights.pth",),
        "-pretrained_weights weights.pth cannot be used (",
        weights,
    ),
    Row(
        "nothing to change",
        (WITHOUT_VALUE,),
        "There is nothing to change in nnUNetPlansNew: give settings as NAME=VALUE, or --network",
    ),
    Row(
        "no dataset and no name for the new plans",
        ("plan uncl_weight=2",),
        "Give -d (the dataset) and -o (the name of the new plans), to write plans",
    ),
    Row(
        "no name for the new plans",
        ("plan -d 501 uncl_weight=2", "plan -d 501 --network ResidualUNet"),
        "Give -o (the name of the new plans), to write plans",
    ),
    Row(
        "a setting without value",
        (f"{WITHOUT_VALUE} uncl_weight",),
        '"uncl_weight" is no setting: write NAME=VALUE, e.g. uncl_weight=2',
    ),
    Row("a setting twice", (f"{PLAN} uncl_weight=3",), '"uncl_weight" is given twice'),
    Row(
        "a value out of range",
        (f"{WITHOUT_VALUE} uncl_weight=much",),
        "\"uncl_weight\" must be a number from 0 to 10000, not 'much'. Give another value here",
    ),
    Row(
        "a name that is no setting",
        (f"{WITHOUT_VALUE} uncl_wait=2",),
        '"uncl_wait" is not a setting. Did you mean "uncl_weight"? Correct the name.',
    ),
    Row(
        "a name that plans cannot have",
        tuple(PLAN.replace("nnUNetPlansNew", name) for name in ("a/b", "../a", "..", ".a", "a__b", "'a b'")),
        "cannot be the name of plans: use letters",
    ),
    Row(
        "the plans to start from as the new ones",
        (PLAN.replace("nnUNetPlansNew", "nnUNetPlansSmall"),),
        "holds the plans to start from: choose another name for the new ones with -o",
    ),
    Row(
        "plans of that name that are there",
        (PLAN,),
        "nnUNetPlansNew.json is there already: choose another name with -o, or replace it with --overwrite",
        plans_of_that_name,
    ),
    Row(
        "a file of nnU-Net's in place of plans",
        (f"{PLAN.replace('nnUNetPlansNew', 'dataset')} --overwrite",),
        "dataset.json holds no plans, so it is not replaced: choose another name with -o",
    ),
    Row("a network that is not known", (f"{PLAN} --network Primus",), "invalid choice: 'Primus'", exit_code=2),
    Row("no process", (PREPROCESS.replace("-np 1", "-np 0"), f"{SELF_TRAIN} -np 0"), "-np must be at least 1, not 0"),
    Row(
        "a number that is a word",
        (PREPROCESS.replace("-np 1", "-np few"), SIMULATE.replace("-n 2", "-n two")),
        "invalid int value",
        exit_code=2,
    ),
    Row(
        "an argument that is missing",
        ("preprocess", "export -d 501", "self-train -d 501", "simulate -o 601 -n 2"),
        "required",
        exit_code=2,
    ),
    Row("a command that is not there", ("train_dycon", "predict"), "invalid choice", exit_code=2),
    Row(
        "a source that is not there",
        ("simulate -i nowhere -o 601 -n 2",),
        "nowhere is no labeled dataset: it needs dataset.json, imagesTr and labelsTr",
    ),
    Row(
        "a number of labeled cases that the dataset has not",
        (SIMULATE.replace("-n 2", "-n 0"), SIMULATE.replace("-n 2", "-n -1"), SIMULATE.replace("-n 2", "-n 99")),
        "-n must lie between 1 and 6",
    ),
    Row(
        "a share of test cases that is none",
        (f"{SIMULATE} --test_fraction 1.5", f"{SIMULATE} --test_fraction nan"),
        "--test_fraction must lie in [0, 1)",
    ),
    Row("a negative seed", (f"{SIMULATE} --test_fraction 0.5 --seed -1",), "--seed must be at least 0, not -1"),
    Row(
        "a protocol and a share of test cases",
        (f"{SIMULATE} --protocol a.json --test_fraction 0.5",),
        "--protocol and --test_fraction exclude each other",
    ),
    Row(
        "a channel name for a dataset that has one",
        (f"{SIMULATE} --channel_name CT",),
        "--channel_name and --labels are for datasets without dataset.json",
    ),
    Row(
        "an output that is no dataset",
        tuple(
            command.replace("-o 601", f"-o {name}")
            for command in (SIMULATE, SELF_TRAIN)
            for name in ("0", "1000", "Few", "Dataset601_../x")
        ),
        "is no dataset name: give an ID (501) or a name (Dataset501_Hippocampus)",
    ),
    Row(
        "an ID that another dataset has",
        (SIMULATE, SELF_TRAIN),
        "the dataset ID 601 of ... is taken by Dataset601_Taken ... choose another ID",
        taken,
    ),
    Row(
        "the source as the output",
        (SIMULATE.replace("-o 601", "-o Dataset501_Tiny"), SELF_TRAIN.replace("-o 601", "-o Dataset501_Tiny")),
        "is the source itself: choose another ID or name with -o",
    ),
    Row(
        "one ID for two rounds",
        (SELF_TRAIN.replace("-o 601", "-o 601 602 Dataset601_X"), SELF_TRAIN.replace("-o 601", "-o 601 -o 601")),
        "-o has an ID twice: each round makes a dataset of its own (601, ",
    ),
    Row("a folder of predictions that is not there", (PSEUDO_LABEL,), "4 of 4 predictions are missing"),
    Row(
        "a fold that is not there",
        (f"{SELF_TRAIN} -f 9", f"{SELF_TRAIN} -f first"),
        "there is no fold ... since ... has 1 folds: choose another one with -f, or -f all",
    ),
    Row(
        "a second trainer that needs unlabeled scans",
        (f"{SELF_TRAIN} -tr2 nnUNetTrainerDyCON",),
        "nnUNetTrainerDyCON needs unlabeled scans ... choose its trainer with -tr2",
    ),
    Row(
        "a GPU that is not there",
        (SELF_TRAIN.replace("cpu", "cuda"), f"{DEMO} -device cuda"),
        "PyTorch finds no CUDA GPU: give",
    ),
    Row(
        "folds or checkpoints that are not there",
        (f"{EXPORT_IT} -f 7", f"{PREDICT_IT} -f 7"),
        "checkpoint_final.pth: not there. Train these folds, or correct -f or -chk",
        results(),
    ),
    Row(
        "a fold or checkpoint named after a path",
        (f"{EXPORT_IT} -f ../0", f"{EXPORT_IT} -chk ../checkpoint_final.pth"),
        "names neither a fold nor a checkpoint of a fold: correct -f or -chk",
        results(),
    ),
    Row(
        "folds of trainings without their trainer",
        (f"{DOCTOR} -f 0", "doctor -f 0", "doctor -tr nnUNetTrainerDyCON -f 0"),
        "-f names folds of trainings: name the dataset with -d and the trainer with -tr too",
    ),
    Row(
        "a fold that has not been trained",
        (f"{DOCTOR} -tr nnUNetTrainerDyCON -f 7",),
        "has no training of fold 7, nor of any other",
        results(),
    ),
    Row(
        "no epochs, or no steps", (f"{DEMO} --epochs 0", f"{DEMO} --steps 0"), "--epochs and --steps must be at least 1"
    ),
    Row("a seed below 0", (f"{DEMO} --seed -1",), "--seed must be at least 0 and below 2**32, and is -1"),
]
