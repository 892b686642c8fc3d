from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunetv2.evaluation.evaluate_predictions import compute_metrics
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from benchmarks.label_efficiency import scheduler
from benchmarks.label_efficiency.__main__ import main
from benchmarks.label_efficiency.claims import Claim
from benchmarks.label_efficiency.runs import Run, Workspace, read_records
from tests.benchmarks.label_efficiency.conftest import (
    EXAMPLE_METHOD,
    IMPORT_BASE,
    Command,
    killed_owner,
    record_of,
)

ARMS = ("nnUNet", "DyCON", "EntropyMinimisation")
OPTIONS = ("--budgets", "2", "--arms", "nnUNet", "DyCON", "--method", str(EXAMPLE_METHOD))

METHOD_THAT_DIES = f"""
import os, signal
from pathlib import Path
{IMPORT_BASE}
class nnUNetTrainerDying(nnUNetTrainerMeanTeacher):
    def on_train_epoch_start(self):
        super().on_train_epoch_start()
        died = Path(self.output_folder) / "died"
        if self.current_epoch == 1 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def read_command_lines() -> Iterator[bytes]:
    """Of all processes; nothing outside Linux."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield file.read_bytes()


@pytest.mark.parametrize("arm", ARMS)
def test_record_says_what_was_done(finished_workspace: Path, source_folder: Path, arm: str) -> None:
    record = record_of(finished_workspace, arm)
    assert (record["dataset"], record["budget"], record["arm"]["name"], record["seed"]) == ("Tiny", "2", arm, 0)
    assert (record["preset"]["epochs"], record["preset"]["steps"]) == (2, 2)
    assert record["configuration"]["patch_size"] == [16, 24, 16]
    assert record["configuration"]["features_per_stage"] == [4, 8, 16]
    assert len(record["labeled"]) == 2
    assert len(record["unlabeled"]) == 3
    training = sorted(file.name.removesuffix(".nii.gz") for file in (source_folder / "labelsTr").iterdir())
    assert sorted(record["labeled"] + record["unlabeled"]) == training
    assert record["test"] == ["demo_005", "demo_006"]
    assert len(record["curves"]["mean_fg_dice"]) == len(record["curves"]["train_losses"]) == 2
    assert record["training_seconds"] == sum(record["curves"]["epoch_seconds"]) > 0
    assert ("uncl_weight" in record["settings"]) == (arm == "DyCON")
    assert record["packages"]["nnunetv2"].startswith("2.")
    # Two labeled cases are too few to say that a structure has one component.
    assert record["metrics_postprocessed"] == record["metrics"]
    unmirrored = record["metrics_without_mirroring"]
    assert unmirrored.keys() == {"three_quarters", "final"}
    assert all(metrics.keys() == {"demo_005", "demo_006"} for metrics in unmirrored.values())


def test_test_cases_are_predicted_with_and_without_mirroring_and_by_both_checkpoints(finished_workspace: Path) -> None:
    folder = finished_workspace / "runs" / "Tiny" / "2" / "nnUNet" / "seed_0"
    (trained,) = folder.glob("nnUNet_results/*/*/fold_all")
    (raw,) = (finished_workspace / "nnUNet_raw").iterdir()
    for name, mirroring, predictions in (
        ("checkpoint_final.pth", True, "predictions"),
        ("checkpoint_final.pth", False, "predictions_without_mirroring/final"),
        ("checkpoint_three_quarters.pth", False, "predictions_without_mirroring/three_quarters"),
    ):
        predictor = nnUNetPredictor(
            use_mirroring=mirroring, device=torch.device("cpu"), perform_everything_on_device=False
        )
        predictor.initialize_from_trained_model_folder(str(trained.parent), ("all",), name)
        for case in ("demo_005", "demo_006"):
            image, properties = SimpleITKIO().read_images([str(raw / "imagesTs" / f"{case}_0000.nii.gz")])
            with torch.autocast("cpu", torch.bfloat16):
                theirs = predictor.predict_single_npy_array(image, properties)
            mine, _ = SimpleITKIO().read_seg(str(folder / predictions / f"{case}.nii.gz"))
            assert np.array_equal(mine[0], theirs)


@pytest.mark.parametrize("arm", ARMS)
def test_overlap_is_nnunets(finished_workspace: Path, source_folder: Path, arm: str) -> None:
    record = record_of(finished_workspace, arm)
    predictions = finished_workspace / "runs" / "Tiny" / "2" / arm / "seed_0" / "predictions"
    assert record["metrics"].keys() == {"demo_005", "demo_006"}
    for case, by_class in record["metrics"].items():
        files = [str(folder / f"{case}.nii.gz") for folder in (source_folder / "labelsTs", predictions)]
        theirs = compute_metrics(*files, SimpleITKIO(), [1, 2])["metrics"]
        for label, name in ((1, "organ"), (2, "lesion")):
            assert by_class[name]["dice"] == pytest.approx(theirs[label]["Dice"])
            assert by_class[name]["jaccard"] == pytest.approx(theirs[label]["IoU"])


def test_the_report_of_all_runs_has_their_rows(
    finished_workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--workspace", str(finished_workspace), "--output", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert all(f"\n| {arm} " in output for arm in ARMS)


def test_no_label_of_an_unlabeled_case_is_in_the_workspace(finished_workspace: Path) -> None:
    unlabeled = record_of(finished_workspace, "nnUNet")["unlabeled"]
    (raw,) = (finished_workspace / "nnUNet_raw").iterdir()
    for case in unlabeled:
        assert [file.parent.name for file in raw.rglob(f"{case}*")] == ["imagesUnlabeled"]


def test_done_runs_are_skipped(finished_workspace: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "_run_worker", None)
    files = [finished_workspace / "runs" / "Tiny" / "2" / arm / "seed_0" / "record.json" for arm in ARMS]
    before = [file.stat().st_mtime_ns for file in files]
    assert run_command(finished_workspace, *OPTIONS) == 0
    assert [file.stat().st_mtime_ns for file in files] == before


def test_list_numbers_the_runs(
    finished_workspace: Path, run_command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(finished_workspace, *OPTIONS, "--seeds", "0", "1", "--list") == 0
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [line[0] for line in lines] == [str(number) for number in range(6)]
    assert [line[3:] for line in lines[:3]] == [[arm, "0", "done"] for arm in ARMS]
    assert [line[3:] for line in lines[3:]] == [[arm, "1", "not started"] for arm in ARMS]
    assert not (finished_workspace / "runs" / "Tiny" / "2" / "nnUNet" / "seed_1").exists()


def test_killed_run_is_recorded_as_failed_and_continued(
    copied_workspace: Path, run_command: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method = tmp_path / "dying.py"
    method.write_text(METHOD_THAT_DIES)
    folder = copied_workspace / "runs" / "Tiny" / "2" / "Dying" / "seed_0"
    assert run_command(copied_workspace, "--budgets", "2", "--method", str(method), "--workers", "1") == 1
    failure = json.loads((folder / "failed.json").read_text())
    assert failure == {"exit_code": -signal.SIGKILL, "log": str(folder / "log.txt")}
    assert str(folder / "log.txt") in capsys.readouterr().out
    assert not (folder / "claim").exists()
    # nnU-Net's workers would go on for ever. Killed ones are gone a moment after the signal.
    deadline = time.monotonic() + 20
    while str(folder).encode() in b"".join(read_command_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.1)

    assert run_command(copied_workspace, "--budgets", "2", "--method", str(method)) == 0
    assert "Going on after epoch 1" in (folder / "log.txt").read_text()
    assert len(record_of(copied_workspace, "Dying")["curves"]["train_losses"]) == 2
    assert not (folder / "failed.json").exists()


def test_failed_run_does_not_stop_the_next_one(
    copied_workspace: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Run] = []

    def fail(run: Run, _: object) -> int:
        started.append(run)
        return 3

    monkeypatch.setattr(scheduler, "_run_worker", fail)
    assert run_command(copied_workspace, "--budgets", "2", "--arms", "nnUNet", "DyCON", "--seeds", "1") == 1
    assert [run.arm.name for run in started] == ["nnUNet", "DyCON"]
    assert all(json.loads(run.failure_file.read_text())["exit_code"] == 3 for run in started)


def test_claimed_run_is_left_to_its_owner(
    copied_workspace: Path,
    run_command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    started: list[Run] = []

    def succeed(run: Run, _: object) -> int:
        started.append(run)
        assert run.claim.is_held()
        run.record_file.write_text("{}")
        return 0

    monkeypatch.setattr(scheduler, "_run_worker", succeed)
    options = ("--budgets", "2", "--arms", "nnUNet", "--seeds", "1")
    claim = Claim(copied_workspace / "runs" / "Tiny" / "2" / "nnUNet" / "seed_1" / "claim")
    assert claim.take()
    with claim:
        assert run_command(copied_workspace, *options, "--list") == 0
        assert run_command(copied_workspace, *options, "--take-over") == 0
        assert f"claimed by process {os.getpid()}" in capsys.readouterr().out
        assert not started
    assert run_command(copied_workspace, *options) == 0
    assert [(run.arm.name, run.seed) for run in started] == [("nnUNet", 1)]
    assert not claim.is_held()


def test_run_of_a_process_that_died_is_interrupted_and_goes_on(
    copied_workspace: Path, run_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = [
        record.run
        for record in read_records(Workspace(copied_workspace))
        if (record.run.arm.name, record.run.seed) == ("nnUNet", 0)
    ]
    run.record_file.unlink()
    with killed_owner(run.claim.file):
        assert run.state() == "claimed"
    assert run.state() == "interrupted"
    monkeypatch.setattr(scheduler, "_run_worker", lambda run, _: run.record_file.write_text("{}") and 0)
    assert run_command(copied_workspace, "--budgets", "2", "--arms", "nnUNet") == 0
    assert run.state() == "done"


def test_record_of_other_settings_is_named(
    copied_workspace: Path, run_command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copied_workspace / "runs" / "Tiny" / "2" / "DyCON" / "seed_0" / "record.json"
    record = json.loads(file.read_text())
    record["settings"]["uncl_weight"] = 77.0
    file.write_text(json.dumps(record))
    assert run_command(copied_workspace, *OPTIONS) == 0
    warned = [line for line in capsys.readouterr().out.splitlines() if "other settings than now" in line]
    assert len(warned) == 1
    assert str(file.parent) in warned[0]


@pytest.mark.parametrize(("option", "name"), [(["--epochs", "3"], "epochs"), (["--float32"], "bfloat16_on_cpu")])
def test_other_presets_need_another_place(
    finished_workspace: Path,
    run_command: Command,
    capsys: pytest.CaptureFixture[str],
    option: list[str],
    name: str,
) -> None:
    assert run_command(finished_workspace, *OPTIONS, *option) == 1
    assert f"have another {name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budgets", "6", "--arms", "nnUNet"], "6 is not between 1 and 5"),
        (["--budgets", "some", "--arms", "nnUNet"], "some is no number of labels"),
        (["--budgets", "2", "--arms", "nnNet"], "there is no nnNet"),
        (["--budgets", "2"], "no arms"),
        (["--budgets", "2", "--arms", "nnUNet", "--only", "1"], "--only must be a number from 0 to 0"),
        (["--budgets", "2", "--arms", "nnUNet", "--define", "nnUNet", "nnUNetTrainer"], "taken by another arm"),
        (["--budgets", "2", "--define", "a/b", "nnUNetTrainer"], "cannot name an arm"),
        (["--budgets", "2", "--arms", "nnUNet", "--steps", "0"], "--steps must be at least 1"),
    ],
)
def test_refuses_what_makes_no_sense(
    tmp_path: Path, run_command: Command, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert run_command(tmp_path, *options) == 1
    assert message in capsys.readouterr().err


def test_only_plain_nnunet_runs_where_all_cases_are_labeled(
    finished_workspace: Path, run_command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(finished_workspace, "--budgets", "all", "--arms", "nnUNet", "DyCON", "--list") == 0
    output = capsys.readouterr().out
    assert "nnUNet" in output
    assert "DyCON" not in output
