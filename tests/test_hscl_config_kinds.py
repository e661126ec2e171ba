"""Which keys mean something to which kind of model."""

from hscl.config import PRESETS, Config
from hscl.config_kinds import KINDS, PUBLISHED, uses


def test_keys_belong_to_one_kind_or_to_all_or_to_all_but_one() -> None:
    using = {n: tuple(kind for kind in KINDS if uses(kind, n)) for n in Config().dotted()}
    assert using["loss.temperature"] == using["model.fusion.heads"] == ("hscl",)
    assert using["model.self_mm.task_text"] == ("self-mm",)
    assert using["train.lr"] == using["model.kind"] == using["run.device"] == KINDS
    assert using["model.text.pooling"] == ("hscl", "lf-dnn", "misa", "self-mm")
    for name, kinds in using.items():
        table = name.split(".")[1]
        if table.replace("_", "-") in KINDS:
            assert kinds == (table.replace("_", "-"),)
        if name.startswith(("train.", "run.", "model.text.", "model.modalities")):
            assert len(kinds) >= 4


def test_published_settings_set_only_what_their_kind_uses() -> None:
    for name, values in PUBLISHED.items():
        data, _, kind = name.partition("-")
        assert data in {"mosi", "mosei"}
        assert PRESETS[name].model.kind == kind
        assert PRESETS[name] == Config().with_settings(values)
