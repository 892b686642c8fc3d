"""What the tests of the diagnosis share."""

from __future__ import annotations

from nnunetv2_dycon.diagnosis.dataset import diagnose_dataset


def diagnose(plans: str = "nnUNetPlansSmall", configuration: str = "3d_fullres") -> tuple[list[str], list[str]]:
    """What is well and what is a problem."""
    findings = list(diagnose_dataset("501", plans, configuration))
    return [f.text for f in findings if not f.is_problem], [f.text for f in findings if f.is_problem]
