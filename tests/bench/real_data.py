"""Real CMU-MOSI for benchmarks, from the shared folder."""

import os
import sys
from pathlib import Path

import numpy as np

from hscl.data.convert import convert, from_arrays

__all__ = ["official_folds", "shared_data", "ten_videos"]


def shared_data() -> Path:
    """The folder of real data; without it the benchmark says so and ends, as nothing is wrong."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("HSCL_SHARED", beside)) / "data"
    if not folder.is_dir():
        print("skipped: the shared folder with real data is missing (set HSCL_SHARED)")
        sys.exit(0)
    return folder


def ten_videos(folder: Path) -> Path:
    """MOSI's 10 unaligned videos as a data set in this folder, converted once."""
    data, mosi = folder / "mosi.arrow", shared_data() / "mosi"
    if not data.exists():
        source = str(mosi / "mosi_data_noalign_10videos.pkl")
        convert([source], data, text=mosi / "MOSI-label.csv")
    return data


def official_folds(folder: Path) -> Path:
    """MOSI's 2,199 utterances in this folder: words and pooled audio, split as published."""
    data, mosi = folder / "mosi-official.arrow", shared_data() / "mosi"
    if not data.exists():
        with np.load(mosi / "mosi_covarep_pooled.npz") as stored:
            splits = [{"dev": "valid"}.get(name, name) for name in stored["split"].astype(str)]
            columns = {
                "id": list(stored["id"].astype(str)),
                "split": splits,
                "audio": list(stored["covarep"].astype(np.float32)),
            }
        from_arrays(data, columns, text=mosi / "MOSI-label.csv")
    return data
