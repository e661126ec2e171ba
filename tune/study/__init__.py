"""What a study is: its specification, space, rules, seeds, size, and its TOML.

Plain frozen values: no tables, no Ray, no Optuna.
"""
