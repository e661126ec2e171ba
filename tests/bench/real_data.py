"""Real CMU-MOSI for benchmarks, from the shared folder."""

import os
import sys
from pathlib import Path

from hscl.data.convert import convert

__all__ = ["shared_data", "ten_videos"]


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
