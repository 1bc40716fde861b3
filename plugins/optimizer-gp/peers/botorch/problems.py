"""Problems with known shapes, the same for every optimizer.

On the simplex: coefficients of 15 members, two or three objectives to maximise, each falling with the weighted distance from
a best point of its own. The seed of a run draws the best points (common part and own part) and the noise. Off the simplex:
one objective to minimise.
"""

import math
from dataclasses import dataclass

import numpy as np

MEMBERS = 15
EVALUATIONS = 75
SINGLE_EVALUATIONS = 50
SEEDS = 10


@dataclass(frozen=True)
class Simplex:
    """A problem on the simplex."""

    name: str
    shapes: tuple  # one per objective: smooth, rippled, cusped, steps
    place: str  # of the best points: inside, face, vertex
    noise: float = 0.0  # standard deviation, as a share of the members' range

    @property
    def objectives(self):
        return len(self.shapes)

    def instance(self, seed):
        return Instance(self, seed)


class Instance:
    """A problem with its best points drawn."""

    def __init__(self, problem, seed):
        self.problem = problem
        random = np.random.RandomState(1000 + seed)
        common = random.dirichlet(np.ones(MEMBERS))
        corner = random.randint(MEMBERS)
        self.best, self.weights = [], []
        for _ in problem.shapes:
            point = 0.6 * common + 0.4 * random.dirichlet(np.ones(MEMBERS))
            if problem.place == "face":
                point[np.arange(MEMBERS) % 3 != 0] = 0.0
            elif problem.place == "vertex":
                point = 0.4 * point
                point[corner] += 0.6
            self.best.append(point / point.sum())
            self.weights.append(np.exp(random.uniform(-1.0, 1.0, MEMBERS)))
        members = self.truth(np.eye(MEMBERS))
        self.low, high = members.min(0), members.max(0)
        self.range = high - self.low

    def truth(self, points):
        """Values without noise, [n, objectives], as they are."""
        points = np.atleast_2d(points)
        values = []
        for shape, best, weights in zip(self.problem.shapes, self.best, self.weights):
            square = ((points - best) ** 2 * weights).sum(1)
            if shape == "smooth":
                value = -square
            elif shape == "rippled":
                value = -square - 0.02 * (1.0 - np.cos(25.0 * np.sqrt(square)))
            elif shape == "cusped":
                value = -np.sqrt(square)
            else:  # steps: an accuracy over 277 items
                value = np.round(277.0 * (0.95 - 0.2 * square)) / 277.0
            values.append(value)
        return np.stack(values, 1)

    def normalised(self, values):
        """Worst member 0, best member 1."""
        return (values - self.low) / self.range

    def observer(self, seed):
        """A function from a point to its values, normalised, with noise that is the same in every run of that seed."""
        random = np.random.RandomState(2000 + seed)

        def observe(point):
            truth = self.normalised(self.truth(point))[0]
            return truth + self.problem.noise * random.normal(size=truth.shape)

        return observe


SIMPLEX = [
    Simplex("smooth-inside-2", ("smooth", "smooth"), "inside"),
    Simplex("rippled-face-3", ("rippled", "rippled", "rippled"), "face"),
    Simplex("cusped-inside-2", ("cusped", "cusped"), "inside"),
    Simplex("steps-face-2", ("smooth", "steps"), "face"),
    Simplex("smooth-vertex-noisy-2", ("smooth", "smooth"), "vertex", noise=0.02),
    Simplex("steps-inside-noisy-3", ("smooth", "steps", "steps"), "inside", noise=0.01),
]

# Nothing below this normalised value counts.
REFERENCE = -0.1


@dataclass(frozen=True)
class Single:
    """A problem with one objective to minimise: axes are (name, kind, low, high) or (name, "choice", values)."""

    name: str
    axes: tuple
    function: object
    least: float


def branin(p):
    x, y = p["x"], p["y"]
    b, c = 5.1 / (4 * math.pi**2), 5 / math.pi
    return (y - b * x * x + c * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


HARTMANN_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(p):
    x = np.array([p[f"x{i}"] for i in range(6)])
    return float(-(HARTMANN_ALPHA * np.exp(-(HARTMANN_A * (x - HARTMANN_P) ** 2).sum(1))).sum())


def log_rosenbrock(p):
    x = np.array([p[f"x{i}"] for i in range(8)])
    return float(np.log1p((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()))


def fine_tuning(p):
    """Like the loss of a fine-tuning: learning rate on a log scale, integer layers and batch exponent, a schedule."""
    rate = math.log10(p["rate"])
    best = {"constant": -4.6, "linear": -4.2, "cosine": -4.0}[p["schedule"]]
    offset = {"constant": 0.05, "linear": 0.01, "cosine": 0.0}[p["schedule"]]
    batch = 0.02 * (p["batch"] - 4) ** 2 * (1.0 + 0.3 * (rate + 4.0))
    layers = 0.008 * (p["layers"] - 5) ** 2
    warm = 0.1 * (p["warmup"] - 0.12 - 0.05 * (rate + 4.0)) ** 2
    return 0.3 + 0.12 * (rate - best - 0.1 * (p["batch"] - 4)) ** 2 + abs(batch) + layers + warm + offset


SINGLE = [
    Single("branin", (("x", "float", -5.0, 10.0), ("y", "float", 0.0, 15.0)), branin, 0.39788735772973816),
    Single("hartmann6", tuple((f"x{i}", "float", 0.0, 1.0) for i in range(6)), hartmann6, -3.322368011415515),
    Single("log-rosenbrock8", tuple((f"x{i}", "float", -2.0, 2.0) for i in range(8)), log_rosenbrock, 0.0),
    Single(
        "mixed",
        (
            ("rate", "log", 1e-6, 1e-2),
            ("batch", "integer", 1, 8),
            ("layers", "integer", 0, 12),
            ("warmup", "float", 0.0, 0.5),
            ("schedule", "choice", ("constant", "linear", "cosine")),
        ),
        fine_tuning,
        0.3,
    ),
]
