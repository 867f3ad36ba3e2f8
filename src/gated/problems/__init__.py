"""The problems of long time lags, each with its criterion of success.

    from gated import problems

    adding = problems.Adding(T=100)
    batch = adding.batch(np.random.default_rng(0), 32)      batch.x (T, B, I), batch.target (T, B, O), …
    wrong, error = adding.judge(batch, y)                   y (T, B, O): the outputs of a network
    adding.criterion.holds(all_wrong, all_error)            over all sequences so far

Those of Hochreiter & Schmidhuber 1997, "Long short-term memory", Neural Computation 9 (8), section 5, and copying
(Arjovsky, Shah & Bengio 2016, "Unitary evolution recurrent neural networks"). All draws come from the generator given.
"""

from gated.problems.numbers import Adding, Multiplication, TwoSequence
from gated.problems.problem import Batch, Criterion, Problem
from gated.problems.reber import EmbeddedReber
from gated.problems.symbols import Copying, NoiseFree, NoRegularities, TemporalOrder, VeryLong

__all__ = [
    "PAPER", "Adding", "Batch", "Copying", "Criterion", "EmbeddedReber", "Multiplication", "NoRegularities",
    "NoiseFree", "Problem", "TemporalOrder", "TwoSequence", "VeryLong",
]  # fmt: skip

# Training sequences until the criterion held in the paper: Tables 1 (its best row) to 9 of section 5, means of 10 to 30
# trials. Its networks were updated after every sequence.
PAPER: dict[Problem, int] = {
    EmbeddedReber(): 8_440,
    NoiseFree(100): 5_040,
    NoRegularities(100): 5_680,
    VeryLong(50, 50): 30_000,
    VeryLong(100, 100): 31_000,
    VeryLong(200, 200): 33_000,
    VeryLong(500, 500): 38_000,
    VeryLong(1000, 1000): 49_000,
    VeryLong(1000, 500): 49_000,
    VeryLong(1000, 200): 75_000,
    VeryLong(1000, 100): 135_000,
    VeryLong(1000, 50): 203_000,
    TwoSequence(100, 3, "3a"): 27_380,
    TwoSequence(100, 1, "3a"): 58_370,
    TwoSequence(1000, 3, "3a"): 446_850,
    TwoSequence(100, 3, "3a", ST=2): 39_850,
    TwoSequence(100, 1, "3a", ST=2): 64_330,
    TwoSequence(1000, 3, "3a", ST=2): 452_460,
    TwoSequence(100, 3, "3b"): 41_740,
    TwoSequence(100, 1, "3b"): 74_950,
    TwoSequence(1000, 1, "3b"): 481_060,
    TwoSequence(100, 3, "3b", ST=2): 43_250,
    TwoSequence(100, 1, "3b", ST=2): 78_430,
    TwoSequence(1000, 1, "3b", ST=2): 485_080,
    TwoSequence(100, 3, "3c"): 269_650,
    TwoSequence(100, 1, "3c"): 565_640,
    Adding(100): 74_000,
    Adding(500): 209_000,
    Adding(1000): 853_000,
    Multiplication(100, 140): 482_000,
    Multiplication(100, 13): 1_273_000,
    TemporalOrder(2): 31_390,
    TemporalOrder(3): 571_100,
}
