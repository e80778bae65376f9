"""`make mutants`: small changes to the code, each of which some test must notice; writes docs/mutants.md.

mutmut makes the changes, keeps them beside the original behind a switch, and knows which test
runs which function. This package says which changes are tried (`changes`, `sample`), runs them
(`run`), and sets the outcome beside the survivors that somebody has looked at (`survivors`, `report`).
"""
