"""Bad input of ``nnunetv2_dycon rank`` and ``add-labels``."""

from __future__ import annotations

import json
import shutil

import SimpleITK as sitk

from tests.bad_input.environment import PREDICT_IT
from tests.bad_input.predictions import model
from tests.bad_input.row import ADD_LABELS, RANK, Place, Prepare, Row, write

RANK_IT = f"{RANK} -tr nnUNetTrainerDyCON_1epoch"


def unlabeled(place: Place, case: str = "demo_006") -> sitk.Image:
    return sitk.ReadImage(str(place.workspace.raw / "imagesUnlabeled" / f"{case}_0000.nii.gz"))


def finished(case: str = "demo_006", value: int = 1, spacing: float | None = None) -> Prepare:
    """A label on the grid of an unlabeled scan, with a voxel of a value."""

    def prepare(place: Place) -> None:
        label = sitk.Cast(unlabeled(place) * 0, sitk.sitkUInt8)
        label[1, 1, 1] = value
        if spacing is not None:
            label.SetSpacing([spacing] * 3)
        folder = place.workspace.root / "FINISHED"
        folder.mkdir(exist_ok=True)
        sitk.WriteImage(label, str(folder / f"{case}.nii.gz"))

    return prepare


def cropped(place: Place) -> None:
    finished()(place)
    file = place.workspace.root / "FINISHED" / "demo_006.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(file))[1:], str(file))


def damaged(place: Place) -> None:
    write(place.workspace.root / "FINISHED" / "demo_006.nii.gz", b"no label")


def of_another_dataset(place: Place) -> None:
    finished()(place)
    write(place.workspace.root / "FINISHED" / "annotation.json", json.dumps({"dataset": "Dataset502_B", "cases": {}}))


def another_label(place: Place) -> None:
    finished()(place)
    shutil.copyfile(
        place.workspace.raw / "labelsTr" / "demo_000.nii.gz", place.workspace.raw / "labelsTr" / "demo_006.nii.gz"
    )


def of_another_program(place: Place) -> None:
    finished()(place)
    write(
        place.workspace.root / "FINISHED" / "annotation.json", json.dumps({"dataset": "Dataset501_Tiny", "cases": []})
    )


def without_a_label(place: Place) -> None:
    write(place.workspace.root / "FINISHED" / "demo_006.nii", b"")


def lost_link(place: Place) -> None:
    (place.workspace.root / "FINISHED").mkdir()
    (place.workspace.root / "FINISHED" / "demo_006.nii.gz").symlink_to("gone.nii.gz")


def ignored_whole(place: Place) -> None:
    place.workspace.write_labels(ignores=True)
    finished()(place)
    file = place.workspace.root / "FINISHED" / "demo_006.nii.gz"
    sitk.WriteImage(sitk.ReadImage(str(file)) * 0 + 3, str(file))


def more_channels(place: Place) -> None:
    model(place)
    file = place.workspace.raw / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "channel_names": {"0": "T1", "1": "T2"}}))
    for scan in list(place.workspace.raw.glob("images*/*_0000.nii.gz")):
        shutil.copyfile(scan, scan.with_name(scan.name.replace("_0000", "_0001")))


def nothing_unlabeled(place: Place) -> None:
    model(place)
    shutil.rmtree(place.workspace.raw / "imagesUnlabeled")


def folder_in_use(place: Place) -> None:
    write(place.workspace.root / "ANNOTATE" / "labels" / "demo_006.nii.gz", b"someone's work")


ROWS = [
    Row("no scan to name", (f"{RANK} -n 0",), "-n must be at least 1, not 0"),
    Row(
        "a folder of annotations that is in use",
        (f"{RANK} --annotate ANNOTATE",),
        "ANNOTATE is there and not empty, and annotations in it could be lost: name another folder with --annotate",
        folder_in_use,
    ),
    Row(
        "a folder of annotations that cannot be made",
        (f"{RANK} --annotate nnUNet_raw/Dataset501_Tiny/dataset.json/new",),
        "dataset.json/new cannot be made in ... dataset.json: correct its permissions, or name another --annotate",
    ),
    Row(
        "a model of another number of channels",
        (RANK_IT,),
        "was trained on 1 channel, and ... Dataset501_Tiny has 2 channels: name a model of this dataset",
        more_channels,
    ),
    Row(
        "a model whose weights do not fit its plans",
        (RANK_IT, PREDICT_IT),
        "checkpoint_final.pth has other weights than the network of plans.json ( ... ): put the plans there",
        model,
    ),
    Row("nothing to rank", (RANK_IT,), "imagesUnlabeled has no scans, so there is nothing to rank.", nothing_unlabeled),
    Row(
        "a folder of labels that is not there",
        (ADD_LABELS,),
        "FINISHED is not a folder: name the one with the finished labels after -i",
    ),
    Row(
        "a folder without labels",
        (ADD_LABELS,),
        "FINISHED has no label named CASE.nii.gz, but demo_006.nii: name the folder with the finished labels after -i",
        without_a_label,
    ),
    Row(
        "an annotation.json that rank has not written",
        (ADD_LABELS,),
        "annotation.json: cases must be a JSON object, not []. Correct the file",
        of_another_program,
    ),
    Row(
        "a label that is a link to nothing",
        (ADD_LABELS,),
        "demo_006.nii.gz is a link to a file that is not there: replace it by the label, or remove it",
        lost_link,
    ),
    Row(
        "a label that is ignored whole",
        (ADD_LABELS,),
        "demo_006.nii.gz holds nothing but the ignore label: annotate some of it, or leave it out",
        ignored_whole,
    ),
    Row(
        "labels for another dataset",
        (ADD_LABELS,),
        "FINISHED was made for Dataset502_B, not for Dataset501_Tiny: correct -d or -i",
        of_another_dataset,
    ),
    Row(
        "a case that has no label in the folder",
        (f"{ADD_LABELS} --cases demo_007",),
        "demo_007.nii.gz is not there: correct --cases or -i",
        finished(),
    ),
    Row(
        "a label without an unlabeled scan",
        (ADD_LABELS,),
        "scan.nii.gz is the label of no scan in ... imagesUnlabeled: name it like its scan, without _0000",
        finished("scan"),
    ),
    Row(
        "another label of a case that is labeled",
        (ADD_LABELS,),
        "demo_006.nii.gz is another label of demo_006, and none is overwritten: remove one of the two",
        another_label,
    ),
    Row(
        "a finished label with an unknown value",
        (ADD_LABELS,),
        "demo_006.nii.gz holds the value 9, and dataset.json has the labels 0, 1, 2: correct the annotation",
        finished(value=9),
    ),
    Row(
        "a finished label of another shape than its scan",
        (ADD_LABELS,),
        "demo_006.nii.gz has ... voxels and its scan demo_006_0000.nii.gz ... : annotate on the scan's own grid",
        cropped,
    ),
    Row(
        "a finished label with another spacing than its scan",
        (ADD_LABELS,),
        "demo_006.nii.gz has another spacing (3, 3, 3 mm, the scan ... mm) than its scan: annotate on the scan's own",
        finished(spacing=3),
    ),
    Row(
        "a finished label that is damaged",
        (ADD_LABELS,),
        "demo_006.nii.gz cannot be read (... ): save it again with the annotation tool",
        damaged,
    ),
]
