"""The learners, one file for each kind: how it is fitted, what it runs on, which packages make its fits."""
