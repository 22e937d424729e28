"""The Optuna peer of the search benchmarks.

regret TRIALS SEEDS   one JSON line for each function: {"name", "probe", "values": [[every value of a seed's search]]}
ask TRIALS ROUNDS     one JSON line: milliseconds of each ask and tell after TRIALS finished trials, in memory
"""
import json
import math
import sys
import time
import warnings

warnings.filterwarnings("ignore")
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Fixed:
    """A trial that is given its values."""

    def __init__(self, values):
        self.values = values

    def suggest_float(self, name, low, high, log=False):
        return self.values[name]

    def suggest_int(self, name, low, high):
        return self.values[name]

    def suggest_categorical(self, name, choices):
        return self.values[name]


def box(trial, d, low, high):
    return [trial.suggest_float(f"x{i}", low, high) for i in range(d)]


def sphere(d):
    return lambda trial: sum((x - 1) ** 2 for x in box(trial, d, -5, 5))


def rosenbrock(d):
    def value(trial):
        x = box(trial, d, -2, 2)
        return sum(100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2 for i in range(d - 1))

    return value


def branin(trial):
    x = trial.suggest_float("x0", -5, 10)
    y = trial.suggest_float("x1", 0, 15)
    valley = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return valley**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [
    [1312, 1696, 5569, 124, 8283, 5886],
    [2329, 4135, 8307, 3736, 1004, 9991],
    [2348, 1451, 3522, 2883, 3047, 6650],
    [4047, 8828, 8732, 5743, 1091, 381],
]


def hartmann(trial):
    x = box(trial, 6, 0, 1)
    return -sum(
        height * math.exp(-sum(a * (x[j] - P[i][j] / 1e4) ** 2 for j, a in enumerate(A[i])))
        for i, height in enumerate([1, 1.2, 3, 3.2])
    )


def mixed(trial):
    rate = math.log10(trial.suggest_float("rate", 1e-5, 1, log=True))
    depth = trial.suggest_int("depth", 1, 12)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam", "none"])
    if optimizer == "sgd":
        inner = (rate + 1.2) ** 2 + 4 * (trial.suggest_float("momentum", 0, 1) - 0.9) ** 2 + 0.05
    elif optimizer == "adam":
        inner = (rate + 3) ** 2 + 20 * (trial.suggest_float("beta", 0.5, 0.999) - 0.9) ** 2
    else:
        inner = 1 + 0.2 * (rate + 2) ** 2
    activation = trial.suggest_categorical("activation", ["relu", "gelu", "tanh", "silu"])
    return inner + 0.05 * (depth - 7) ** 2 + {"relu": 0.3, "gelu": 0, "tanh": 0.8, "silu": 0.1}[activation]


def probe(d):
    return {f"x{i}": 0.25 + 0.125 * i for i in range(d)}


functions = [
    ("sphere-5d", sphere(5), probe(5)),
    ("rosenbrock-2d", rosenbrock(2), probe(2)),
    ("rosenbrock-4d", rosenbrock(4), probe(4)),
    ("branin-2d", branin, probe(2)),
    ("hartmann-6d", hartmann, probe(6)),
    ("mixed-conditional", mixed, {"rate": 0.01, "depth": 4, "optimizer": "sgd", "momentum": 0.5, "activation": "silu"}),
]

kind, first, second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if kind == "regret":
    for name, value, at in functions:
        values = []
        for seed in range(second):
            study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
            study.optimize(value, n_trials=first)
            values.append([trial.value for trial in study.trials])
        print(json.dumps({"name": name, "probe": value(Fixed(at)), "values": values}), flush=True)
else:
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.sampler._n_startup_trials = first  # the finished trials are random ones
    study.optimize(mixed, n_trials=first)
    study.sampler._n_startup_trials = 10
    spent = []
    for _ in range(second):
        begun = time.perf_counter()
        trial = study.ask()
        result = mixed(trial)
        study.tell(trial, result)
        spent.append(1000 * (time.perf_counter() - begun))
    print(json.dumps(spent))
