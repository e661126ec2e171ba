"""A search as a job on the cluster: shipped, submitted, followed, stopped, fetched.

Looks at the machines only through `connect`.
"""
