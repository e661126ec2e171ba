"""The kinds of models, each with its loss: HSCL, and what it is compared with.

No data sets, no optimiser: a kind keeps the contract of `hscl.model.contract`.
"""
