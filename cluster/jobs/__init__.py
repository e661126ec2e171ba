"""A search as a job on the cluster: shipped, submitted, followed, stopped, fetched.

Starts nothing on this machine.
"""
