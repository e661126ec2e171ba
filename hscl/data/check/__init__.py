"""Whether a data set is sound: facts counted, rules applied, told as tables.

Reads data sets only, and mends nothing.
"""
