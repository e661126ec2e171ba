"""What a search would do, without doing it."""

import json
from pathlib import Path

from commands import Hscl

STUDY = """
[base]
"model.text.encoder" = "{encoder}"
"model.text.finetune" = false
"model.fusion.heads" = 2
"train.epochs" = 2
"train.batch_size" = 16
[space]
"loss.temperature" = {{ log_uniform = [0.03, 1.0] }}
[resources]
gpus = 0.0
"""


def test_settings_change_what_would_run_and_the_first_line_comes_before_the_data(
    hscl: Hscl, tiny_encoder: Path, tiny_file: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(STUDY.format(encoder=tiny_encoder))
    changes = [part for one in ("confirm.seeds=7", "train.epochs=3") for part in ("--set", one)]
    code, said, waits = hscl("search", file, "--data", tiny_file, "--dry-run", "--json", *changes)
    assert code == 0
    confirm = json.loads(said)["phases"][-1]
    assert (len(confirm["seeds"]), confirm["epochs"]) == (7, 2 * 7 * 3)
    assert waits.splitlines()[0] == f"tiny: reading {tiny_file}"
