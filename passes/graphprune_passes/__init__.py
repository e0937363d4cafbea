"""The passes graphprune ships: criteria and allocations."""
PASSES: tuple[()] = ()
