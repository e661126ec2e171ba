"""The commands `hscl cluster …`.

Arguments and messages only.
"""
