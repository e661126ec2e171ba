"""A sample of the damages that `bench_damage.py` does: none is silent, none a traceback."""

import itertools
import shutil
from pathlib import Path

import numpy as np
from bench_damage import COMMANDS, ask, damages, judge, sound_study

QUICK = ("status", "table trials", "go on")


def test_no_damage_of_a_sample_is_silent_or_ends_in_a_traceback(tmp_path: Path) -> None:
    study = sound_study(tmp_path / "sound")
    place = tmp_path / "damaged" / "study"
    shutil.copytree(study, place)
    assert set(QUICK) <= set(COMMANDS)
    sound = {command: ask(command, place) for command in QUICK}
    assert {said.code for said in sound.values()} == {0}
    some = itertools.islice(damages(np.random.default_rng(5)), 0, 145, 13)
    for what, damage in some:
        shutil.rmtree(place)
        shutil.copytree(study, place)
        damage(place)
        for command, before in sound.items():
            said = ask(command, place)
            assert judge(said, before) in {"", "slow"}, (command, what, said.err)
