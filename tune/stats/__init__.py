"""Numbers in, numbers out: intervals, tests, power, surrogates, effects.

No tables, no words; of the study only its space.
"""
