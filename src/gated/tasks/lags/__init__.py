"""Long time lags: networks trained on the problems of `gated.problems` until each one's criterion holds.

result = solve(problems.Adding(100), "lstm")
result.sequences        how many it took, or None
"""

from gated.tasks.lags.training import KINDS, Result, solve

__all__ = ["KINDS", "Result", "solve"]
