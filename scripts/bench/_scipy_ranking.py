"""Peer of the ranking benchmarks: counts by numpy, strengths by a logistic likelihood under scipy's L-BFGS.

Usage: _scipy_ranking.py KIND FILE M N. Loads the data once, then answers every line on stdin with the milliseconds
(wall, CPU) of one run. KIND: binary (M x N bytes 0, 1, 2 = missing), sparse (int32 competitor, int32 sample, float64
value, N entries), votes (int32 left, int32 right, int8 outcome, N votes).
"""
import sys
import time

import numpy as np
from scipy.optimize import minimize

kind, path, m, n = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
raw = np.fromfile(path, dtype=np.uint8)
if kind == "binary":
    matrix = raw.reshape(m, n)
elif kind == "sparse":
    competitor = raw[: 4 * n].view(np.int32)
    sample = raw[4 * n : 8 * n].view(np.int32)
    value = raw[8 * n :].view(np.float64)
else:
    left = raw[: 4 * n].view(np.int32)
    right = raw[4 * n : 8 * n].view(np.int32)
    outcome = raw[8 * n :].view(np.int8)


def fit(wins, start=None):
    def loss(theta):
        d = theta[:, None] - theta[None, :]
        return (wins * np.logaddexp(0, -d)).sum(), ((wins.T + wins) / (1 + np.exp(-d)) - wins).sum(axis=1)

    found = minimize(loss, np.zeros(len(wins)) if start is None else start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-7})
    return found.x - found.x.mean()


def counts_binary():
    high = (matrix == 1).astype(np.float32)
    low = (matrix == 0).astype(np.float32)
    ties = high @ high.T + low @ low.T
    np.fill_diagonal(ties, 0)
    return (high @ low.T + ties).astype(np.float64)


def counts_sparse():
    order = np.argsort(sample, kind="stable")
    c, v = competitor[order], value[order]
    edges = np.flatnonzero(np.diff(sample[order])) + 1
    wins = np.zeros((m, m))
    for cs, vs in zip(np.split(c, edges), np.split(v, edges)):
        wins[np.ix_(cs, cs)] += vs[:, None] >= vs[None, :]
    np.fill_diagonal(wins, 0)
    return wins


def counts_votes(which=None):
    cell = np.where(outcome >= 0, left * m + right, right * m + left) if which is None else None
    wins = np.bincount(cell, minlength=m * m).astype(np.float64)
    tie = outcome == 0
    wins += np.bincount(right[tie] * m + left[tie], minlength=m * m)
    return wins.reshape(m, m)


def votes_bootstrap(replicates):
    cell = np.minimum(left, right).astype(np.int64) * m + np.maximum(left, right)
    sign = np.where(left < right, outcome, -outcome)
    tally = np.bincount(cell * 3 + sign + 1, minlength=3 * m * m)
    rng = np.random.default_rng(0)
    theta = fit(counts_votes())
    for _ in range(replicates):
        t = rng.multinomial(n, tally / n).reshape(m, m, 3)
        fit((t[:, :, 2] + t[:, :, 1] + (t[:, :, 0] + t[:, :, 1]).T).astype(np.float64), theta)


def binary_bootstrap(replicates):
    theta = fit(counts_binary())
    rng = np.random.default_rng(0)
    high = (matrix == 1).astype(np.float32)
    low = (matrix == 0).astype(np.float32)
    for _ in range(replicates):
        w = rng.multinomial(n, np.full(n, 1 / n)).astype(np.float32)
        ties = (high * w) @ high.T + (low * w) @ low.T
        np.fill_diagonal(ties, 0)
        fit(((high * w) @ low.T + ties).astype(np.float64), theta)


jobs = {
    "binary": lambda _: fit(counts_binary()),
    "sparse": lambda _: fit(counts_sparse()),
    "votes": lambda _: fit(counts_votes()),
    "binary-bootstrap": lambda r: binary_bootstrap(r),
    "votes-bootstrap": lambda r: votes_bootstrap(r),
}
for line in sys.stdin:
    name, *rest = line.split()
    wall, cpu = time.perf_counter(), time.process_time()
    jobs[name](int(rest[0]) if rest else 0)
    print((time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3, flush=True)
