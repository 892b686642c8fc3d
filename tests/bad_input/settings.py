"""Bad input in settings of methods."""

from __future__ import annotations

import math

from tests.bad_input.plans import changed
from tests.bad_input.row import DOCTOR, PLAN, TRAIN, Place, Prepare, Row

BOTH = (TRAIN, DOCTOR)
WITHOUT_VALUE = PLAN.replace(" uncl_weight=2", "")


def section(**settings: object) -> Prepare:
    """Plans with a section "dycon"."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"].update(dycon=settings))


def in_configuration(**content: object) -> Prepare:
    """Plans with further keys in the configuration."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"].update(content))


def at_the_top(**content: object) -> Prepare:
    """Plans with further keys at the top level."""
    return changed(lambda plans: plans.update(content))


def in_network(**content: object) -> Prepare:
    """Plans with further keys beside the network's arguments."""
    return changed(lambda plans: plans["configurations"]["3d_fullres"]["architecture"].update(content))


def in_dataset_json(**content: object) -> Prepare:
    """A dataset.json with further keys, raw and preprocessed."""

    def prepare(place: Place) -> None:
        place.workspace.write_dataset_json({**place.workspace.read_dataset_json(), **content})

    return prepare


ROWS = [
    Row(
        "an unknown setting",
        (*BOTH, f"{WITHOUT_VALUE} uncl_wieght=1"),
        '"uncl_wieght" is not a setting. Did you mean "uncl_weight"?',
        section(uncl_wieght=1),
    ),
    Row(
        "a setting that is a text",
        BOTH,
        "\"uncl_weight\" must be a number from 0 to 10000, not '2'",
        section(uncl_weight="2"),
    ),
    Row(
        "a setting that is NaN",
        BOTH,
        '"uncl_weight" must be a number from 0 to 10000, not nan',
        section(uncl_weight=math.nan),
    ),
    Row(
        "a setting that is infinite",
        BOTH,
        '"uncl_weight" must be a number from 0 to 10000, not inf',
        section(uncl_weight=math.inf),
    ),
    Row(
        "true in place of a number",
        BOTH,
        '"uncl_weight" must be a number from 0 to 10000, not True',
        section(uncl_weight=True),
    ),
    Row(
        "null in place of a number",
        BOTH,
        '"uncl_weight" must be a number from 0 to 10000, not None',
        section(uncl_weight=None),
    ),
    Row("a negative weight", BOTH, '"fecl_weight" must be a number from 0 to 10000, not -1', section(fecl_weight=-1)),
    Row(
        "a weight that no training can use",
        (*BOTH, f"{WITHOUT_VALUE} uncl_weight=1e6"),
        '"uncl_weight" must be a number from 0 to 10000, not 1000000.0',
        section(uncl_weight=1e6),
    ),
    Row(
        "a batch that no memory can hold",
        BOTH,
        '"unlabeled_batch_size" must be an integer from 1 to 1024, or null, not 1000000',
        section(unlabeled_batch_size=1000000),
    ),
    Row(
        "a name that is none of those allowed",
        BOTH,
        '"fecl_variant" must be "paper" or "official", not \'other\'. Change it with "nnunetv2_dycon plan"',
        section(fecl_variant="other"),
    ),
    Row(
        "settings that contradict each other",
        BOTH,
        '"beta_min" ... must not be above "beta_max"',
        section(beta_max=0.01),
    ),
    Row(
        "a list in place of the section",
        (*BOTH, PLAN),
        "configurations/3d_fullres/dycon of ... must be a dictionary of settings, not ['uncl_weight']",
        in_configuration(dycon=["uncl_weight"]),
    ),
    Row(
        'a section in another spelling, "DyCON"',
        (*BOTH, PLAN),
        '"DyCON" in configurations/3d_fullres is not read. Name it "dycon"',
        in_configuration(DyCON={"uncl_weight": 2}),
    ),
    Row(
        "a section at the top level of the plans",
        (*BOTH, PLAN),
        '"dycon" at the top level is not read. Move it to configurations/3d_fullres/dycon',
        at_the_top(dycon={"uncl_weight": 2}),
    ),
    Row(
        "a section beside the configurations",
        (*BOTH, PLAN),
        '"configurations/dycon" is not read. Move it to configurations/3d_fullres/dycon',
        changed(lambda plans: plans["configurations"].update(dycon={"uncl_weight": 2})),
    ),
    Row(
        "a setting outside its section",
        (*BOTH, PLAN),
        'the setting "uncl_weight" in configurations/3d_fullres is not read. Move it to configurations/3d_fullres/d...',
        in_configuration(uncl_weight=2),
    ),
    Row(
        "a setting at the top level of the plans",
        (*BOTH, PLAN),
        'the setting "uncl_weight" in the top level is not read. Move it to configurations/3d_fullres/dycon',
        at_the_top(uncl_weight=2),
    ),
    Row(
        "a section among those of the network",
        (*BOTH, PLAN),
        '"dycon" in configurations/3d_fullres/architecture is not read. Move it to configurations/3d_fullres/dycon',
        in_network(dycon={"uncl_weight": 2}),
    ),
    Row(
        "a setting among those of the network",
        (*BOTH, PLAN),
        'the setting "uncl_weight" in configurations/3d_fullres/architecture is not read. Move it to ...',
        in_network(uncl_weight=2),
    ),
    Row(
        "a section in dataset.json",
        (*BOTH, PLAN),
        'dataset.json: "DyCON" is not read there. Move it to configurations/3d_fullres/dycon of ... Small.json',
        in_dataset_json(DyCON={"uncl_weight": 2}),
    ),
    Row(
        "a setting in dataset.json",
        (*BOTH, PLAN),
        'dataset.json: the setting "uncl_weight" is not read there. Move it to configurations/3d_fullres/dycon of',
        in_dataset_json(uncl_weight=2),
    ),
    Row(
        "a section in another configuration than the one to be trained, alone",
        BOTH,
        'has "dycon" in configurations/2d, but 3d_fullres is to be trained. Move it to ... or write "dycon": {} there',
        changed(lambda plans: plans["configurations"]["2d"].update(dycon={"uncl_weight": 2})),
    ),
    Row(
        "a setting of another method",
        (*BOTH, f"{WITHOUT_VALUE} stochastic_passes=2"),
        '"stochastic_passes" is a setting of nnUNetTrainerUAMT, whose section is "uamt". Move it there or remove it',
        section(stochastic_passes=2),
    ),
]
