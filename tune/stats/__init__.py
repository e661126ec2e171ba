"""Numbers in, numbers out: intervals, tests, power, surrogates, effects.

No tables and no sentences; of a study it knows the space at most.
"""
