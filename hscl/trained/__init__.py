"""Model folders: trained over seeds, described, evaluated, used to predict.

Only `evaluate` opens test.
"""
