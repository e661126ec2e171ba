"""The way to a Ray cluster: addresses, tokens, places that every node opens.

Sends no study.
"""
