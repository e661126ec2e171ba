"""The same study on a Ray cluster: submit it, follow it, stop it, trust it."""
