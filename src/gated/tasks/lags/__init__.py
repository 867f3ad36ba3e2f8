"""Long time lags: networks that learn the problems of `gated.problems` until each one's criterion holds.

solved = solve(problems.Adding(100), "lstm")
solved.sequences        how many it took, or None
"""

from gated.tasks.lags.learn import KINDS, Solved, solve

__all__ = ["KINDS", "Solved", "solve"]
