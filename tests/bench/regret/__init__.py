"""Worlds, rivals and tables of `bench_regret.py`."""
