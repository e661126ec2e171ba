"""Worlds and cells of `bench_calibration.py`."""
