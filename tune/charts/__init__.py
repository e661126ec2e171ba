"""The report's figures, one a module; theme and axes.

Draws what `evidence` has computed.
"""
