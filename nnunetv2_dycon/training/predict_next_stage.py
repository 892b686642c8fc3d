"""The low-resolution model of a cascade predicts the unlabeled cases, for the next stage."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import torch
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.inference.export_prediction import resample_and_save
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.helpers import empty_cache
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from tqdm import tqdm

from nnunetv2_dycon.exceptions import UserError
from nnunetv2_dycon.files import explained_write_errors, hash_file, written_aside
from nnunetv2_dycon.preprocessing.case_stamp import hash_plans, stamp_file
from nnunetv2_dycon.preprocessing.prepare_unlabeled_data import UnlabeledData, prepare_unlabeled_data
from nnunetv2_dycon.processes import end_with_parent, end_workers
from nnunetv2_dycon.training.checkpoints import read_checkpoint
from nnunetv2_dycon.training.previous_stage import PreviousStage

_ENDING = ".b2nd"
# Predictions that wait to be resampled; each may take gigabytes.
_MAX_WAITING = 2


def predict_next_stage(
    stage: PreviousStage,
    unlabeled_data: UnlabeledData,
    off_limits: Iterable[str],
    device: torch.device,
    num_processes: int,
    report: Callable[[str], None] = print,
) -> int:
    """Predict the unlabeled cases that are not predicted, or from other data or another checkpoint, and count them.

    They are predicted as nnUNetTrainer.perform_actual_validation of 2.8.1 predicts the labeled ones for the next stage:
    by sliding window and mirroring, from the images as they are preprocessed for ``stage``, then resampled to the shape
    that the image has in the next stage. Files per case, in ``stage.unlabeled_predictions``: ``CASE.b2nd``, the labels
    (X, Y, Z), and, written last, ``CASE.json``, the stamp. Both are whole or not there, so that a killed run is
    continued by the next.

    Args:
        stage: the model.
        unlabeled_data: the cases as they are preprocessed for the next stage.
        off_limits: those of them that are labeled cases; see prepare_unlabeled_data.
        device: where to predict.
        num_processes: how many processes resample, beside this one.
        report: is told what was done.

    Raises:
        UserError: when the model is not trained, was trained with plans that ask for other preprocessing or predicts
            NaN, when its data cannot be made, see prepare_unlabeled_data, and when a process is killed.
    """
    if not unlabeled_data.identifiers:
        return 0
    stage.refuse_missing_checkpoint()
    managers = (stage.plans_manager, stage.configuration)
    data = prepare_unlabeled_data(*managers, stage.dataset_json, off_limits, num_processes, report)
    if missing := sorted(set(unlabeled_data.identifiers) - set(data.identifiers)):
        raise UserError(
            f"{data.folder} lacks {len(missing)} of the unlabeled cases ({missing[0]}, ...), and the raw data are not "
            f"here. Copy the folder from where they are, after: {stage.unlabeled_preprocessing_command}"
        )
    checkpoint_hash = hash_file(stage.checkpoint)
    stamps = {
        case: {
            "checkpoint": checkpoint_hash,
            "previous_stage": _origin(data.folder, case),
            "next_stage": _origin(unlabeled_data.folder, case),
        }
        for case in unlabeled_data.identifiers
    }
    folder = stage.unlabeled_predictions
    pending = [case for case, stamp in stamps.items() if not _is_current(folder, case, stamp)]
    if not pending:
        return 0
    with explained_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    predictor = _load_model(stage, device)
    progress = tqdm(total=len(pending), desc=f"Predicting unlabeled cases for {stage.next_stage}")
    with progress, _Writers(min(num_processes, len(pending)), progress) as writers:
        for case in pending:
            image = torch.from_numpy(blosc2.open(str(data.folder / f"{case}{_ENDING}"), mode="r")[:])
            logits = predictor.predict_logits_from_preprocessed_data(image)
            if not torch.isfinite(logits).all():
                raise UserError(f"{stage.checkpoint} predicts values that are not finite for {case}: train it again.")
            shape = blosc2.open(str(unlabeled_data.folder / f"{case}{_ENDING}"), mode="r").shape[1:]
            properties = load_pickle(str(data.folder / f"{case}.pkl"))
            made_by = (predictor.plans_manager, predictor.configuration_manager, predictor.dataset_json)
            arguments = (folder, case, stamps[case], logits.numpy(), shape, properties, *made_by)
            writers.write(partial(_resample_and_write, *arguments))
    # Training starts with an empty GPU.
    del predictor
    compute_gaussian.cache_clear()
    empty_cache(device)
    report(f"{stage.checkpoint} predicted {len(pending)} unlabeled cases into {folder}.")
    return len(pending)


def _origin(folder: Path, case: str) -> dict[str, Any]:
    """What a case was preprocessed from, without what may differ in a copy."""
    stamp = json.loads(stamp_file(folder, case).read_text())
    return {"plans": stamp["plans"], "files": [file["sha256"] for file in stamp["files"]]}


def _is_current(folder: Path, case: str, stamp: dict[str, Any]) -> bool:
    try:
        size = (folder / f"{case}{_ENDING}").stat().st_size
        there = json.loads(stamp_file(folder, case).read_text())
    except (OSError, ValueError):
        return False
    return bool(there == {**stamp, "size": size})


def _load_model(stage: PreviousStage, device: torch.device) -> nnUNetPredictor:
    """nnU-Net's predictor with the model of one fold, as its validation sets it up."""
    remedy = f"Train it again: {stage.training_command(stage.fold)}"
    checkpoint = read_checkpoint(stage.checkpoint, "cpu", remedy=remedy)
    trained_with = checkpoint["init_args"]
    plans_manager, dataset_json = PlansManager(trained_with["plans"]), trained_with["dataset_json"]
    configuration = plans_manager.get_configuration(stage.configuration_name)
    if hash_plans(plans_manager, configuration) != hash_plans(stage.plans_manager, stage.configuration):
        raise UserError(
            f"{stage.checkpoint} was trained on data that were preprocessed otherwise than the present "
            f"{stage.plans_manager.plans_name}.json says. {remedy}"
        )
    # Weights are drawn before those of the checkpoint replace them.
    with torch.random.fork_rng(devices=[]):
        network = stage.trainer_class.build_network_architecture(
            plans_manager,
            configuration,
            determine_num_input_channels(plans_manager, configuration, dataset_json),
            plans_manager.get_label_manager(dataset_json).num_segmentation_heads,
            enable_deep_supervision=False,
        )
    predictor = nnUNetPredictor(device=device, perform_everything_on_device=device.type == "cuda", allow_tqdm=False)
    predictor.manual_initialization(
        network,
        plans_manager,
        configuration,
        [checkpoint["network_weights"]],
        dataset_json,
        stage.trainer_class.__name__,
        checkpoint["inference_allowed_mirroring_axes"],
    )
    return predictor


class _Writers:
    """Processes that write predictions, or this one where that is enough.

    Args:
        num_processes: how many.
        progress: counts what is written.
    """

    def __init__(self, num_processes: int, progress: tqdm) -> None:
        self._num_processes = num_processes
        self._progress = progress
        self._waiting: set[Future[None]] = set()
        self._pool = None
        if num_processes > 1:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(num_processes, context, end_with_parent, (os.getpid(),))

    def __enter__(self) -> _Writers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._pool is not None:
            if kind is None:
                self._wait_for_all_but(0)
                self._pool.shutdown()
            else:
                end_workers(self._pool)

    def write(self, job: Callable[[], None]) -> None:
        """Do a job that writes a prediction, or wait until one of the processes can."""
        if self._pool is None:
            job()
            self._progress.update()
            return
        self._waiting.add(self._pool.submit(job))
        self._wait_for_all_but(self._num_processes + _MAX_WAITING)

    def _wait_for_all_but(self, number: int) -> None:
        while len(self._waiting) > number:
            done, self._waiting = wait(self._waiting, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    future.result()
                except BrokenProcessPool as error:
                    raise UserError(
                        "A process that resamples predictions was killed, most likely because the memory was full. Run "
                        '"nnunetv2_dycon predict-next-stage" with a smaller -np; the cases that are done are kept.'
                    ) from error
                self._progress.update()


def _resample_and_write(
    folder: Path,
    case: str,
    stamp: dict[str, Any],
    logits: np.ndarray,
    shape: tuple[int, ...],
    properties: dict[str, Any],
    plans_manager: PlansManager,
    configuration: ConfigurationManager,
    dataset_json: dict[str, Any],
) -> None:
    """Write the labels of logits (C, X, Y, Z) in another shape, by nnU-Net's own function, and then the stamp."""
    stamp_file(folder, case).unlink(missing_ok=True)
    file = folder / f"{case}{_ENDING}"
    with explained_write_errors(folder), written_aside(file) as aside:
        resample_and_save(
            logits,
            list(shape),
            str(aside).removesuffix(_ENDING),
            plans_manager,
            configuration,
            properties,
            dataset_json,
            num_threads_torch=1,
            dataset_class=nnUNetDatasetBlosc2,
        )
    with explained_write_errors(folder), written_aside(stamp_file(folder, case)) as aside:
        aside.write_text(json.dumps({**stamp, "size": file.stat().st_size}, indent=1))
