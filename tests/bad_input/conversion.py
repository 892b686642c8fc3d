"""Files of published data sets that cannot become a dataset."""

from __future__ import annotations

from nnunetv2_dycon.conversion.published_splits import read_published_split
from tests.bad_input.row import Place, Prepare, Row

CONVERT = "convert la -i LA -o 601 -n 4"
TRAIN = read_published_split("la", "ua-mt").train


def la(*, without: str = "", others: tuple[str, ...] = ()) -> Prepare:
    """Files of the names of the challenge's release, with nothing in them, since names are checked first."""

    def prepare(place: Place) -> None:
        split = read_published_split("la", "ua-mt")
        for case in split.cases:
            for name in ("lgemri.nrrd", "laendo.nrrd"):
                if f"{case}/{name}" != without:
                    _touch(place, f"LA/{case}/{name}")
        for name in others:
            _touch(place, f"LA/{name}")

    return prepare


def acdc(place: Place) -> None:
    for case in read_published_split("acdc", "ssl4mis").cases:
        _touch(place, f"ACDC/{case}.h5")


def taken(place: Place) -> None:
    la()(place)
    (place.workspace.raw.parent / "Dataset601_LA_4labeled").mkdir()


def _touch(place: Place, name: str) -> None:
    file = place.workspace.root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


ROWS = [
    Row("a data set that is not known", ("convert lits -i LA -o 601 -n 4",), "invalid choice: 'lits'", exit_code=2),
    Row(
        "a folder of files that is not there", ("convert la -i nowhere -o 601 -n 4",), "nowhere is no folder: name the"
    ),
    Row(
        "a folder without files of the data set",
        ("convert la -i nnUNet_raw -o 601 -n 4",),
        "nnUNet_raw has no files of la: name the folder that has CASE/mri_norm2.h5",
    ),
    Row(
        "a scan that is missing",
        (CONVERT,),
        f"LA has no scan of {TRAIN[50]} (looked for CASE/lgemri.nrrd ... add the files, or leave cases out",
        la(without=f"{TRAIN[50]}/lgemri.nrrd"),
    ),
    Row(
        "a label of a labeled case that is missing",
        (CONVERT,),
        f"LA has no label of {TRAIN[0]} (looked for",
        la(without=f"{TRAIN[0]}/laendo.nrrd"),
    ),
    Row(
        "files of two formats",
        (CONVERT,),
        "LA has the data set more than once, as ... --format h5 ... choose one by these options",
        la(others=(f"{TRAIN[0]}/mri_norm2.h5",)),
    ),
    Row(
        "a scan that is there twice",
        (CONVERT,),
        f"lgemri.nrrd are both files of {TRAIN[0]}: move one of the two out of the folder",
        la(others=(f"copy/{TRAIN[0]}/lgemri.nrrd",)),
    ),
    Row(
        "a file that cannot be read",
        (f"{CONVERT} -np 1",),
        f"{TRAIN[0]}/lgemri.nrrd cannot be read: replace it",
        la(),
    ),
    Row(
        "labels for one of two scans of a patient",
        ("convert acdc -i ACDC -o 601 -n 3",),
        "-n 3 would label a part of the scans of patient038 alone: give 2 or 4",
        acdc,
    ),
    Row("more labeled cases than there are", (CONVERT.replace("-n 4", "-n 81"),), "-n must lie between 1 and 79", la()),
    Row(
        "a share of labels that is none",
        (CONVERT.replace("-n 4", "--labels 5"), CONVERT.replace("-n 4", "--labels few%")),
        "argument --labels: ... is no share",
        exit_code=2,
    ),
    Row(
        "a dataset that is there already",
        (CONVERT,),
        "Dataset601_LA_4labeled exists: choose another ID or name with -o",
        taken,
    ),
]
