"""The way to a Ray cluster: addresses, tokens, URIs without secrets.

Sends no study.
"""
