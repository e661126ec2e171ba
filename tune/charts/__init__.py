"""The report's figures, one a module, and their theme and axes.

Draws what `evidence` computed; computes nothing itself.
"""
