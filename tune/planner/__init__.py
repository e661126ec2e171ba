"""What a study does next, and which trials stop early: a pure function of the tables.

No clock and no Ray; Optuna in the samplers only.
"""
