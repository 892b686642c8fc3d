"""Settings of a method, read from an optional section of a configuration in nnU-Net's plans.

nnU-Net's trainers take no options and its results folder is named after trainer, plans and configuration, so settings
belong in the plans. Each method has one frozen dataclass whose fields are made with :func:`setting`, which holds the
default, the range and the text of the documentation in one place.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from nnunetv2_dycon import __version__
from nnunetv2_dycon.exceptions import UserError

Value = bool | int | float | str | None
SettingsType = TypeVar("SettingsType", bound="MethodSettings")
_AS_BY_DEFAULT: Any = object()
# Of a term of the loss: far beyond any that is of use, so that a slip of the pen is noticed.
LARGEST_WEIGHT = 10_000
_OF_NNUNET = ("batch_size", "patch_size", "spacing", "batch_dice")
_REMEDY = 'Change it with "nnunetv2_dycon plan".'


def setting(
    default: Value,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    optional: bool = False,
    before_it_existed: Value = _AS_BY_DEFAULT,
    changed_meaning: tuple[str, str] | None = None,
) -> Any:
    """Declare one setting.

    Args:
        default: the value where the plans say nothing; its type is the type that plans must give (a float setting
            also takes an int).
        description: what it does, with its unit, for the documentation.
        minimum: the smallest allowed value.
        maximum: the largest allowed value.
        choices: the allowed values of a text setting.
        optional: whether ``null`` is allowed; such a setting is an int.
        before_it_existed: the value that does what releases without the setting, or with another default, did; by
            default the default. A training of such a release can be resumed with this value only.
        changed_meaning: the release (``0.3.0``) since which a value does something else, and what that is. Trainings of
            earlier releases cannot be resumed then.

    Returns:
        A dataclass field.
    """
    metadata = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "optional": optional,
        "kind": int if optional else type(default),
        "before_it_existed": default if before_it_existed is _AS_BY_DEFAULT else before_it_existed,
        "changed_meaning": changed_meaning,
    }
    return dataclasses.field(default=default, metadata=metadata)


def describe_range(field: dataclasses.Field) -> str:
    """The allowed values of a setting in words, for documentation and error messages."""
    metadata = field.metadata
    if metadata["kind"] is bool:
        return "true or false"
    if metadata["choices"] is not None:
        return " or ".join(f'"{choice}"' for choice in metadata["choices"])
    text = "an integer" if metadata["kind"] is int else "a number"
    minimum, maximum = metadata["minimum"], metadata["maximum"]
    if minimum is not None and maximum is not None:
        text += f" from {minimum:g} to {maximum:g}"
    elif minimum is not None:
        text += f" of at least {minimum:g}"
    elif maximum is not None:
        text += f" of at most {maximum:g}"
    return f"{text}, or null" if metadata["optional"] else text


def _is_valid(field: dataclasses.Field, value: object) -> bool:
    metadata = field.metadata
    if value is None:
        return metadata["optional"]
    kind = metadata["kind"]
    if kind is bool:
        return isinstance(value, bool)
    if kind is str:
        return value in metadata["choices"]
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed):
        return False
    # False for NaN, and for an integer that no float can hold.
    if not abs(value) <= sys.float_info.max:
        return False
    minimum, maximum = metadata["minimum"], metadata["maximum"]
    return (minimum is None or value >= minimum) and (maximum is None or value <= maximum)


@dataclass(frozen=True)
class MethodSettings:
    """What every semi-supervised method has: the unlabeled stream, the teacher, the ramp.

    Fractions are fractions of the whole training (``num_epochs`` times the steps of an epoch), so that they mean the
    same for every training length.
    """

    unlabeled_batch_size: int | None = setting(
        None,
        "patches in an unlabeled batch, over all GPUs; null: the batch size of the plans",
        minimum=1,
        maximum=1024,
        optional=True,
    )
    unlabeled_foreground_fraction: float = setting(
        0.33,
        "share of the unlabeled patches that are drawn around voxels which the teacher took for foreground, as nnU-Net "
        "draws labeled ones; 0: all are drawn uniformly",
        minimum=0,
        maximum=1,
        before_it_existed=0.0,
    )
    ema_decay: float = setting(
        0.99,
        "decay of the teacher's exponential moving average per step; in step t it is min(1 - 1/(t+1), ema_decay)",
        minimum=0,
        maximum=0.99999,
    )
    warmup_fraction: float = setting(
        0.1, "fraction of training at the start with the supervised loss alone", minimum=0, maximum=1
    )
    rampup_fraction: float = setting(
        0.3,
        "fraction of training, after the warm-up, over which the unsupervised weights rise from 0 to their values as "
        "exp(-5(1-x)^2)",
        minimum=0,
        maximum=1,
    )
    wait_for_labels: bool = setting(
        True,
        "whether the unsupervised weights wait until the labels are learnt: they are 0 while nnU-Net's training loss "
        "is above 0, and have their full values from -0.5 on; of no effect in methods with another supervised loss",
        before_it_existed=False,
    )
    strong_view_probability: float = setting(
        0.5,
        "least probability with which each of nnU-Net's intensity transforms is applied to the student's view of an "
        "unlabeled patch; the teacher's view has none",
        minimum=0,
        maximum=1,
    )
    deployed_network: str = setting(
        "teacher",
        "whose weights checkpoints hold for prediction and whose pseudo-Dice chooses checkpoint_best",
        choices=("teacher", "student"),
    )
    ignored_voxels_as_unlabeled: bool = setting(
        True,
        "where the dataset has nnU-Net's ignore label: whether training cases with ignored voxels join the unlabeled "
        "ones, as images without labels",
        before_it_existed=False,
    )

    @classmethod
    def from_configuration(cls: type[SettingsType], section: object, where: str, remedy: str = _REMEDY) -> SettingsType:
        """Read and check the section of a configuration.

        Args:
            section: what the plans hold under the method's key; None where the key is absent.
            where: the section's place, for error messages, e.g. ``configurations/3d_fullres/dycon of plans ...``.
            remedy: the last sentence of error messages.

        Returns:
            The settings, defaults filled in.

        Raises:
            UserError: for a section that is no dictionary, unknown keys and values out of range, each by name.
        """
        if section is None:
            return cls()
        if not isinstance(section, dict):
            raise UserError(f"{where} must be a dictionary of settings, not {section!r}. {remedy}")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        problems = []
        for name, value in section.items():
            if name not in fields:
                problems.append(f'"{name}" is not a setting. {_hint(str(name), fields)}')
            elif not _is_valid(fields[name], value):
                problems.append(f'"{name}" must be {describe_range(fields[name])}, not {value!r}.')
        if problems:
            raise UserError(f"{where}: {' '.join(problems)} {remedy}")
        try:
            return cls(**section)
        except UserError as error:
            raise UserError(f"{where}: {error} {remedy}") from error

    def describe(self, leave_out: Collection[str] = ()) -> str:
        """All settings in force but those to leave out and those without effect, one a line."""
        values, hidden = dataclasses.asdict(self), {*leave_out, *self.without_effect()}
        return "\n".join(f"  {name}: {value}" for name, value in values.items() if name not in hidden)

    def without_effect(self) -> Collection[str]:
        """The names of the settings that do nothing because of what others are set to."""
        return ()

    def differences(self, other: dict[str, Value], release: str = __version__) -> list[str]:
        """Name the settings in which another training differs from this one.

        Args:
            other: the other training's settings, as ``dataclasses.asdict`` gave them. A setting that its release did
                not have yet counts as what that release did.
            release: the release of this package that the other training ran on, such as ``0.1.0``.

        Returns:
            One text per setting that differs, that this release no longer has, or whose values mean something else than
            they did; empty when the two agree.
        """
        texts = [f"{name}: {other[name]} there, not set now" for name in other if not hasattr(self, name)]
        for field in dataclasses.fields(self):
            there, now = other.get(field.name, field.metadata["before_it_existed"]), getattr(self, field.name)
            changed = field.metadata["changed_meaning"]
            if there != now:
                absent = "" if field.name in other else f", which {release} did without this setting"
                texts.append(f"{field.name}: {there} there{absent}, {now} now")
            elif changed is not None and _version(release) < _version(changed[0]):
                texts.append(f"{field.name}: {now} means something else since {changed[0]}: {changed[1]}")
        return sorted(texts)

    def refuse_others(self, there: dict[str, Value], place: str, release: str = __version__) -> None:
        """Refuse to go on where other settings were in force.

        Args:
            there: see :meth:`differences`.
            place: the file or folder they come from.
            release: see :meth:`differences`.

        Raises:
            UserError: naming each setting that differs.
        """
        differences = self.differences(there, release)
        if not differences:
            return
        its = {
            field.name: there.get(field.name, field.metadata["before_it_existed"]) for field in dataclasses.fields(self)
        }
        its = {name: value for name, value in its.items() if value != getattr(self, name)}
        can_be_put_back = len(its) == len(differences)
        put_back = f" To go on with it, set {json.dumps(its)[1:-1]} in its plans under nnUNet_preprocessed."
        raise UserError(
            f"{place} holds results of other settings ({'; '.join(differences)}), and results of different "
            'settings must not share a folder. Make plans of another name with "nnunetv2_dycon plan" and train '
            f"with -p, or remove these results.{put_back if can_be_put_back else ''}"
        )


def _hint(name: str, known: Collection[str]) -> str:
    """What may be meant by a name that is no setting."""
    if name in _OF_NNUNET:
        return "It is nnU-Net's: write it into the configuration in the plans file."
    close = difflib.get_close_matches(name, known, n=1)
    return f'Did you mean "{close[0]}"?' if close else f"Known settings: {', '.join(sorted(known))}."


def _version(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release))


def with_default(settings_class: type[MethodSettings], name: str, default: Value) -> Any:
    """A setting of a class, for a subclass that has another default."""
    (field,) = (field for field in dataclasses.fields(settings_class) if field.name == name)
    return dataclasses.field(default=default, metadata={**field.metadata, "before_it_existed": default})


def settings_table(settings_class: type[MethodSettings], leave_out: Collection[str] = ()) -> str:
    """The settings of a method as a Markdown table: name, default, range, meaning.

    Args:
        settings_class: the dataclass.
        leave_out: names of settings that the table is to do without.
    """
    rows = ["| setting | default | allowed | meaning |", "|---|---|---|---|"]
    for field in dataclasses.fields(settings_class):
        if field.name in leave_out:
            continue
        default = json.dumps(field.default)
        rows.append(f"| `{field.name}` | `{default}` | {describe_range(field)} | {field.metadata['description']} |")
    return "\n".join(rows)
