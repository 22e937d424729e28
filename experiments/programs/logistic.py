"""Logistic regression by gradient descent on two Gaussian clouds, in plain Python: a program that `exp` can run.

It reads its config from EXP_CONFIG, reports JSON lines on descriptor EXP_METRICS_FD, and goes on from EXP_RESUME.
"""

import json
import math
import os
import random

config = json.loads(os.environ["EXP_CONFIG"])
channel = os.fdopen(int(os.environ["EXP_METRICS_FD"]), "w", buffering=1)


def tell(**message):
    channel.write(json.dumps(message) + "\n")


# The data depend on the seed alone, the steps on the data alone: nothing else to remember in a checkpoint.
rng = random.Random(int(os.environ["EXP_SEED"]))
n = config["points"]
label = [i % 2 for i in range(2 * n)]
point = [(rng.gauss(2.0 * y - 1, 1.5), rng.gauss(1 - 2.0 * y, 1.5)) for y in label]
train, test = range(n), range(n, 2 * n)


def probability(w, x):
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, w[0] * x[0] + w[1] * x[1] + w[2]))))


start, w = 0, [0.0, 0.0, 0.0]
if "EXP_RESUME" in os.environ:
    with open(os.environ["EXP_RESUME"]) as file:
        start, w = json.load(file)

for step in range(start + 1, config["steps"] + 1):
    loss, gradient = 0.0, [0.0, 0.0, 0.0]
    for i in train:
        p, y = probability(w, point[i]), label[i]
        loss -= math.log(p if y else 1 - p) / n
        for k, x in enumerate((*point[i], 1.0)):
            gradient[k] += (p - y) * x / n
    decay = config["weightDecay"]
    w = [v - config["learningRate"] * (g + decay * v) for v, g in zip(w, gradient)]
    tell(step=step, metrics={"train/loss": loss})
    tell(progress=[step, config["steps"]])
    if step % 20 == 0:
        path = os.path.join(os.environ["EXP_DIR"], "state-%d.json" % step)
        with open(path, "w") as file:
            json.dump([step, w], file)
        tell(checkpoint={"step": step, "path": path})

right = sum((probability(w, point[i]) > 0.5) == (label[i] == 1) for i in test)
tell(step=config["steps"], metrics={"test/accuracy": right / n})
