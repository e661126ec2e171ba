"""What a search needs and the cluster lacks, and what it will cost.

Changes nothing on the cluster.
"""
