"""What runs next, as a pure function of specification and tables.

No clock, no Ray; Optuna only in the samplers.
"""
