"""What is printed of the predictions that became labels."""

from __future__ import annotations

import sys

from nnunetv2_dycon.exceptions import counted, is_or_are, listed
from nnunetv2_dycon.json_files import read_json_file
from nnunetv2_dycon.postprocessing.largest_components import structure_names
from nnunetv2_dycon.self_training.pseudo_labeled_dataset import PseudoLabeledDataset


def report_predictions(dataset: PseudoLabeledDataset) -> None:
    """Print which components were removed from predictions, and which predictions are background alone."""
    _report_components(dataset)
    if dataset.empty:
        print(
            f"WARNING: of {counted(len(dataset.pseudo_labeled), 'predicted scan')}, {len(dataset.empty)} "
            f"{is_or_are(dataset.empty)} background alone: {listed(dataset.empty)}. If there should be something, "
            "the first model needs a longer training."
        )
    sys.stdout.flush()


def _report_components(dataset: PseudoLabeledDataset) -> None:
    if not dataset.one_component:
        return
    names = structure_names(dataset.one_component, read_json_file(dataset.folder / "dataset.json"))
    print(
        f"Every labeled case that shows it has one connected component of: {', '.join(names)}. Predictions keep the "
        "largest one."
    )
    if dataset.removed:
        most = max(dataset.removed, key=lambda case: dataset.removed[case])
        share = sum(dataset.removed.values()) / len(dataset.removed)
        print(
            f"{len(dataset.removed)} of {counted(len(dataset.pseudo_labeled), 'prediction')} had more. On average "
            f"{share:.2%} of their foreground became background, at most {dataset.removed[most]:.2%} ({most}). If "
            "scans can show several, start again with --all_components and new datasets after -o."
        )
