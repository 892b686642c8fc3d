"""The package as users get it: built, installed into scratch environments, looked up by nnU-Net in new processes.

Nothing is downloaded, see scratch_environment.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunetv2_dycon import __version__
from tests.scratch_environment import VARIABLE, Environment, run

REPOSITORY = Path(__file__).resolve().parents[1]
SOURCES = ("LICENSE", "README.md", "nnunetv2_dycon.pth", "pyproject.toml", "setup.py")

LOOKUP = """
import json, pickle, sys
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2_dycon.exceptions import UserError

found = [recursive_find_trainer_class_by_name(name) for name in sys.argv[1:]]
print(json.dumps([
    {
        "class": f"{trainer.__module__}.{trainer.__name__}",
        "file": sys.modules[trainer.__module__].__file__ if trainer.__module__ in sys.modules else None,
        "pickles": trainer.__module__ in sys.modules and pickle.loads(pickle.dumps(trainer)) is trainer,
    }
    for trainer in found
]))
raise UserError("what the user reads")
"""

USERS_TRAINER = """
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

class TrainerOfTheUser(nnUNetTrainer):
    pass
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source, since builds write into it."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copy(REPOSITORY / name, folder)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "nnunetv2_dycon", folder / "nnunetv2_dycon", ignore=ignored)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source], folder)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(
    request: pytest.FixtureRequest,
    source: Path,
    wheel: Path,
    dependencies: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Environment:
    environment = Environment(tmp_path_factory.mktemp(request.param), dependencies)
    environment.pip("install", *([wheel] if request.param == "wheel" else ["--editable", source]))
    return environment


def lookup(
    environment: Environment, names: list[str], folders_of_the_user: str | None = None
) -> tuple[list[dict], str]:
    """Look trainers up as nnU-Net does, then end with an error that the user can act on; return stderr as well."""
    process = environment.python(LOOKUP, *names, folders_of_the_user=folders_of_the_user, check=False)
    assert process.returncode == 1, process.stderr
    assert "[{" in process.stdout, process.stdout + process.stderr
    return json.loads(process.stdout.splitlines()[-1]), process.stderr


def test_nnunet_finds_the_trainers_with_no_variable_set(installed: Environment) -> None:
    (trainer, short), errors = lookup(installed, ["nnUNetTrainerDyCON", "nnUNetTrainerDyCON_1epoch"])
    assert trainer["class"] == "nnunetv2_dycon.trainers.nnUNetTrainerDyCON"
    assert trainer["pickles"]
    assert short["class"].endswith(".nnUNetTrainerDyCON_1epoch")
    assert short["pickles"]
    assert errors.endswith("\nError: what the user reads\n")
    assert "Traceback" not in errors


def test_nnunet_finds_the_trainers_of_the_user_too(installed: Environment, tmp_path: Path) -> None:
    (tmp_path / "trainer_of_the_user.py").write_text(USERS_TRAINER)
    (ours, theirs), _ = lookup(installed, ["nnUNetTrainerDyCON", "TrainerOfTheUser"], str(tmp_path))
    assert ours["pickles"]
    assert theirs["class"] == "trainer_of_the_user.TrainerOfTheUser"


def test_folders_of_the_user_come_first(installed: Environment) -> None:
    process = installed.python(f"import os; print(os.environ['{VARIABLE}'])", folders_of_the_user="/of the user")
    folders = process.stdout.strip().split(os.pathsep)
    assert folders[0] == "/of the user"
    assert [Path(folder).parts[-2:] for folder in folders[1:]] == [("nnunetv2_dycon", "external_trainers")]


def test_an_interpreter_started_by_another_one_adds_nothing(installed: Environment) -> None:
    code = "import os, subprocess, sys; print(os.environ['{0}']); sys.stdout.flush(); {1}"
    child = f"import os; print(os.environ['{VARIABLE}'])"
    process = installed.python(code.format(VARIABLE, f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"))
    parent, child = process.stdout.splitlines()
    assert parent == child


def test_start_up_imports_the_registration_alone(installed: Environment, dependencies: Path, tmp_path: Path) -> None:
    code = "import sys; print(*sys.modules)"
    without = Environment(tmp_path / "without", dependencies).python(code)
    with_package = installed.python(code)
    added = set(with_package.stdout.split()) - set(without.stdout.split())
    assert added == {"nnunetv2_dycon", "nnunetv2_dycon.registration"}
    assert with_package.stderr == without.stderr


def test_command_is_installed(installed: Environment) -> None:
    process = run([installed.scripts / "nnunetv2_dycon", "--help"], installed.folder)
    assert "usage: nnunetv2_dycon" in process.stdout


@pytest.mark.parametrize("form", ["wheel", "folder", "editable"])
def test_uninstalling_leaves_nothing(form: str, source: Path, wheel: Path, dependencies: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "scratch", dependencies)
    before = environment.files()
    environment.pip("install", *{"wheel": [wheel], "folder": [source], "editable": ["--editable", source]}[form])
    assert environment.site_packages / "nnunetv2_dycon.pth" in environment.site_packages.iterdir()
    assert environment.python(f"import os; print('{VARIABLE}' in os.environ)").stdout == "True\n"
    environment.pip("uninstall", "nnunetv2_dycon")
    assert environment.files() == before
    assert environment.python(f"import os; print('{VARIABLE}' in os.environ)").stdout == "False\n"


def test_wheel_holds_licence_type_marker_and_version(wheel: Path) -> None:
    assert wheel.name == f"nnunetv2_dycon-{__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert "nnunetv2_dycon/py.typed" in names
    assert f"nnunetv2_dycon-{__version__}.dist-info/licenses/LICENSE" in names
    folders = {name.split("/")[0] for name in names}
    assert folders == {"nnunetv2_dycon", "nnunetv2_dycon.pth", f"nnunetv2_dycon-{__version__}.dist-info"}


def test_wheel_holds_every_module(wheel: Path, source: Path) -> None:
    modules = {file.relative_to(source).as_posix() for file in (source / "nnunetv2_dycon").rglob("*.py")}
    assert modules == {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}


def test_wheel_holds_the_published_splits(wheel: Path, source: Path) -> None:
    splits = {str(file.relative_to(source)) for file in source.glob("nnunetv2_dycon/conversion/splits/*.json")}
    assert splits
    assert splits <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize(
    "break_package",
    [
        lambda package: shutil.rmtree(package),
        lambda package: (package / "registration.py").unlink(),
        lambda package: (package / "registration.py").write_text(""),
        lambda package: (package / "registration.py").write_text("def register(:"),
        lambda package: (package / "registration.py").write_bytes(b"\0"),
    ],
    ids=["package gone", "module gone", "module empty", "syntax error", "no text"],
)
def test_a_damaged_package_does_not_disturb_other_programs(
    break_package: Callable[[Path], object], wheel: Path, dependencies: Path, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "scratch", dependencies)
    zipfile.ZipFile(wheel).extractall(environment.site_packages)
    assert environment.python(f"import os; print('{VARIABLE}' in os.environ)").stdout == "True\n"
    break_package(environment.site_packages / "nnunetv2_dycon")
    process = environment.python(f"import os; print('{VARIABLE}' in os.environ)")
    assert process.stdout == "False\n"
    assert process.stderr == ""
