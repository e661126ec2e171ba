"""Model folders: trained over seeds, described, evaluated, used to predict.

The one place of `hscl` besides data that opens test (`evaluate`).
"""
