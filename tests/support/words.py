"""The words of reviews that tests make."""

from __future__ import annotations

THINGS = [
    *("camera", "phone", "router", "kettle", "tent", "lamp", "printer", "watch", "jacket", "speaker"),
    *("tripod", "blender", "charger", "monitor", "bag", "drill", "toaster", "keyboard", "scooter", "fan"),
]
# Verdicts that VADER's word list does not know, so that a model has something to beat.
VERDICTS = {
    "negative": ["arrived dented", "leaks at the seam", "quit charging within a week", "froze during setup",
                 "went straight back to the store", "cracked on the first trip", "overheats after ten minutes",
                 "fell apart in my hands"],
    "neutral": ["comes in a brown box", "has a two metre cable", "weighs about 300 grams", "was made in March",
                "uses two batteries", "sits on the desk", "is the 2019 model", "measures ten inches"],
    "positive": ["fits like a glove", "runs all day on one charge", "still looks new after a year",
                 "sets up in seconds", "outlasts everything else I own", "is worth every cent", "is a joy to use",
                 "does exactly what I need"],
}  # fmt: skip
