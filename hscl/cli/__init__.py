"""The commands of `hscl` that need neither Ray nor Optuna: data, train, evaluate, predict.

At most arguments and messages; what a command does lies in the folders below.
"""
