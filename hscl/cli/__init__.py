"""The commands that need neither Ray nor Optuna: data, train, evaluate, predict.

Arguments and messages; what a command does lies in the folders below.
"""
