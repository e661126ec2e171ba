"""The rooms of the house in their order; README draws it, test_layering holds it."""

ORDER = {
    "hscl": ("", "data", "model", "loss", "kinds", "training", "trained", "cli"),
    "tune": (
        "",
        "study",
        "tables stats",
        "search_model",
        "planner trial evidence",
        "engine charts",
        "simulate",
        "report views",
        "cli",
    ),
    "cluster": ("templates connect", "jobs", "doctor", "cli job_entry"),
}
"""Each package's rooms, lowest first; a room imports from lines above its own only. "" is what
lies directly in a package and belongs to no folder."""
