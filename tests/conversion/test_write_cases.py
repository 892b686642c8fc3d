"""Writing cases, beside what the whole command writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunetv2_dycon.conversion.data_sets import DATA_SETS
from nnunetv2_dycon.conversion.source_formats import find_cases, list_files
from nnunetv2_dycon.conversion.write_cases import CaseToWrite, write_case
from nnunetv2_dycon.exceptions import UserError


def test_a_folder_that_cannot_be_written_to_is_named_with_its_free_space(la: Path, tmp_path: Path) -> None:
    (source_format,) = (each for each in DATA_SETS["la"].formats if each.name == "nrrd")
    name, source = next(iter(find_cases(la, list_files(la), source_format, "").items()))
    folder = tmp_path / "imagesTr"
    folder.write_text("no folder")
    case = CaseToWrite(name, source, source_format, folder, None, spacing=None, by_voxels=False)
    message = r"imagesTr cannot be written to: .*; [\d,.]+ [GM]iB are free there\. .* start again\.$"
    with pytest.raises(UserError, match=f"(?s){message}"):
        write_case(case)
