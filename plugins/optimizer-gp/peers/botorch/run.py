"""One run of one optimizer on one problem, and what is kept of it.

A run is recorded as {"method", "problem", "seed", "points" or "best", "cpu_seconds", ...}; `record` writes each at once, so
that long comparisons can be broken off and gone on with.
"""

import json
import os
import time
import warnings

import numpy as np

import problems
from problems import EVALUATIONS, MEMBERS, REFERENCE, SINGLE_EVALUATIONS


def cpu():
    """CPU seconds of this process, all threads."""
    return time.process_time()


class Results:
    """A JSON file of runs, one per line, sorted."""

    def __init__(self, path):
        self.path = path
        self.runs = {}
        if os.path.exists(path):
            with open(path) as file:
                for line in file:
                    run = json.loads(line)
                    self.runs[self.key(run)] = run

    @staticmethod
    def key(run):
        return run["method"], run["problem"], run["seed"]

    def get(self, method, problem, seed):
        return self.runs.get((method, problem, seed))

    def record(self, run):
        self.runs[self.key(run)] = run
        part = f"{self.path}.{os.getpid()}"
        with open(part, "w") as file:
            for key in sorted(self.runs):
                file.write(json.dumps(self.runs[key]) + "\n")
        os.replace(part, self.path)


# On the simplex ------------------------------------------------------------------------------------------------------


def run_simplex(method, problem, seed, ask=None):
    """Members first, then suggestions up to 75 evaluations; returns the run with the hypervolume of what was evaluated."""
    instance = problem.instance(seed)
    observe = instance.observer(seed)
    points = [row for row in np.eye(MEMBERS)]
    seen = [observe(point) for point in points]
    start, started = cpu(), time.time()
    while len(points) < EVALUATIONS:
        point = np.maximum(np.asarray(ask(np.array(points), np.array(seen), seed), dtype=float), 0.0)
        point /= point.sum()
        points.append(point)
        seen.append(observe(point))
    return finish_simplex(method, problem, seed, points, cpu() - start, time.time() - started)


def finish_simplex(method, problem, seed, points, cpu_seconds, seconds):
    instance = problem.instance(seed)
    truth = instance.normalised(instance.truth(np.array(points)))
    return {
        "method": method,
        "problem": problem.name,
        "seed": seed,
        "hypervolume": hypervolume(truth),
        "hypervolume_at": {str(n): hypervolume(truth[:n]) for n in (15, 30, 45, 60, 75)},
        "cpu_seconds": round(cpu_seconds, 2),
        "seconds": round(seconds, 2),
    }


def hypervolume(values):
    """Of points over the reference, to be maximised; two or three objectives."""
    values = np.asarray(values) - REFERENCE
    values = values[(values > 0).all(1)]
    if len(values) == 0:
        return 0.0
    if values.shape[1] == 2:
        total, reached = 0.0, 0.0
        for a, b in values[np.lexsort((-values[:, 1], -values[:, 0]))]:
            if b > reached:
                total += a * (b - reached)
                reached = b
        return float(total)
    # Slices along the last objective.
    values = values[np.argsort(-values[:, 2])]
    total = 0.0
    for i in range(len(values)):
        below = values[i + 1, 2] if i + 1 < len(values) else 0.0
        if values[i, 2] > below:
            flat = values[: i + 1, :2] + REFERENCE
            total += hypervolume(flat) * (values[i, 2] - below)
    return float(total)


def dirichlet(points, _seen, seed):
    """Uniform draws from the simplex."""
    return np.random.RandomState(3000 + 100 * seed + len(points)).dirichlet(np.ones(MEMBERS))


def botorch_nehvi(points, seen, seed):
    import torch
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from botorch.sampling.normal import SobolQMCNormalSampler
    from gpytorch.mlls import ExactMarginalLogLikelihood

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.manual_seed(1000 * seed + len(points))
    x, y = torch.tensor(points, dtype=torch.double), torch.tensor(seen, dtype=torch.double)
    model = SingleTaskGP(x, y)
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        model=model,
        ref_point=[REFERENCE] * y.shape[1],
        X_baseline=x,
        sampler=SobolQMCNormalSampler(torch.Size([128]), seed=seed),
        prune_baseline=True,
    )
    candidate, _ = optimize_acqf(
        acquisition,
        bounds=torch.stack([torch.zeros(MEMBERS), torch.ones(MEMBERS)]).double(),
        q=1,
        num_restarts=10,
        raw_samples=512,
        equality_constraints=[(torch.arange(MEMBERS), torch.ones(MEMBERS, dtype=torch.double), 1.0)],
    )
    return candidate[0].numpy()


def botorch_rust_nehvi(points, seen, seed):
    import torch
    from botorch_rs.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch_rs.fit import fit_gpytorch_mll
    from botorch_rs.mlls import ExactMarginalLogLikelihood
    from botorch_rs.models import SingleTaskGP
    from botorch_rs.models.transforms import Standardize
    from botorch_rs.optim import optimize_acqf
    from botorch_rs.sampling import SobolQMCNormalSampler

    warnings.simplefilter("ignore")
    torch.manual_seed(1000 * seed + len(points))
    members = points.shape[1]
    x, y = torch.tensor(points, dtype=torch.double), torch.tensor(seen, dtype=torch.double)
    model = SingleTaskGP(x, y, outcome_transform=Standardize(m=y.shape[1]))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    acquisition = qLogNoisyExpectedHypervolumeImprovement(
        model=model,
        ref_point=[REFERENCE] * y.shape[1],
        X_baseline=x,
        sampler=SobolQMCNormalSampler(torch.Size([128]), seed=seed),
        prune_baseline=True,
    )
    candidate, _ = optimize_acqf(
        acquisition,
        bounds=torch.stack([torch.zeros(members), torch.ones(members)]).double(),
        q=1,
        num_restarts=10,
        raw_samples=512,
        equality_constraints=[(torch.arange(members), torch.ones(members, dtype=torch.double), 1.0)],
    )
    return np.asarray(candidate)[0]


# One objective -------------------------------------------------------------------------------------------------------


def initial_points(problem, seed, count):
    """The same scrambled Sobol points for everyone who does not bring its own."""
    from scipy.stats import qmc

    cube = qmc.Sobol(len(problem.axes), seed=4000 + seed).random(count)
    return [decode(problem, row) for row in cube]


def decode(problem, row):
    """A point from numbers between 0 and 1."""
    point = {}
    for (name, kind, *rest), u in zip(problem.axes, row):
        if kind == "float":
            point[name] = float(rest[0] + u * (rest[1] - rest[0]))
        elif kind == "log":
            point[name] = float(np.exp(np.log(rest[0]) + u * np.log(rest[1] / rest[0])))
        elif kind == "integer":
            point[name] = int(min(rest[0] + int(u * (rest[1] - rest[0] + 1)), rest[1]))
        else:
            point[name] = rest[0][min(int(u * len(rest[0])), len(rest[0]) - 1)]
    return point


def encode(problem, point):
    """Numbers between 0 and 1; a choice is its index."""
    row = []
    for name, kind, *rest in problem.axes:
        value = point[name]
        if kind == "log":
            row.append(np.log(value / rest[0]) / np.log(rest[1] / rest[0]))
        elif kind == "choice":
            row.append(float(rest[0].index(value)))
        else:
            row.append((value - rest[0]) / (rest[1] - rest[0]))
    return row


def finish_single(method, problem, seed, values, cpu_seconds):
    best = np.minimum.accumulate(values) - problem.least
    return {
        "method": method,
        "problem": problem.name,
        "seed": seed,
        "regret": float(best[-1]),
        "regret_at": {str(n): float(best[n - 1]) for n in (10, 20, 30, 40, 50)},
        "cpu_seconds": round(cpu_seconds, 2),
    }


def run_single_botorch(problem, seed):
    """LogEI on BoTorch's default model, after 8 Sobol points; choices by MixedSingleTaskGP, integers rounded."""
    import torch
    from botorch.acquisition.analytic import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import MixedSingleTaskGP, SingleTaskGP
    from botorch.optim import optimize_acqf, optimize_acqf_mixed
    from gpytorch.mlls import ExactMarginalLogLikelihood

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    points = initial_points(problem, seed, 8)
    values = [problem.function(point) for point in points]
    choices = [i for i, axis in enumerate(problem.axes) if axis[1] == "choice"]
    high = [float(len(axis[2]) - 1) if axis[1] == "choice" else 1.0 for axis in problem.axes]
    bounds = torch.tensor([[0.0] * len(high), high], dtype=torch.double)
    start = cpu()
    while len(points) < SINGLE_EVALUATIONS:
        torch.manual_seed(1000 * seed + len(points))
        x = torch.tensor([encode(problem, point) for point in points], dtype=torch.double)
        y = -torch.tensor(values, dtype=torch.double).unsqueeze(-1)
        model = MixedSingleTaskGP(x, y, cat_dims=choices) if choices else SingleTaskGP(x, y)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        acquisition = LogExpectedImprovement(model, best_f=y.max())
        arguments = dict(bounds=bounds, q=1, num_restarts=10, raw_samples=512)
        if choices:
            fixed = [{choices[0]: float(v)} for v in range(int(high[choices[0]]) + 1)]
            candidate, _ = optimize_acqf_mixed(acquisition, fixed_features_list=fixed, **arguments)
        else:
            candidate, _ = optimize_acqf(acquisition, **arguments)
        point = {}
        for (name, kind, *rest), u in zip(problem.axes, candidate[0].tolist()):
            if kind == "choice":
                point[name] = rest[0][round(u)]
            elif kind == "integer":
                point[name] = round(rest[0] + u * (rest[1] - rest[0]))
            elif kind == "log":
                point[name] = float(rest[0] * (rest[1] / rest[0]) ** u)
            else:
                point[name] = rest[0] + u * (rest[1] - rest[0])
        points.append(point)
        values.append(problem.function(point))
    return finish_single("botorch", problem, seed, values, cpu() - start)


def run_single_optuna(problem, seed):
    """optuna's GPSampler with its own start."""
    import optuna
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    values = []

    def objective(trial):
        point = {}
        for name, kind, *rest in problem.axes:
            if kind == "choice":
                point[name] = trial.suggest_categorical(name, rest[0])
            elif kind == "integer":
                point[name] = trial.suggest_int(name, rest[0], rest[1])
            else:
                point[name] = trial.suggest_float(name, rest[0], rest[1], log=kind == "log")
        values.append(problem.function(point))
        return values[-1]

    start = cpu()
    study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=seed, deterministic_objective=True))
    study.optimize(objective, n_trials=SINGLE_EVALUATIONS)
    return finish_single("optuna", problem, seed, values, cpu() - start)
