"""What a study is: specification, search space, constraints, seeds, size; its TOML.

Frozen values: no tables, no Ray, no Optuna.
"""
