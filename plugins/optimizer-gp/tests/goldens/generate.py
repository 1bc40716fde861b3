"""Writes botorch.json: values of BoTorch's Gaussian processes and acquisition functions with fixed hyperparameters.

    pip install botorch==0.18.1 && OMP_NUM_THREADS=1 python generate.py

Base samples are stored with the values that they led to, so that the same draws can be made elsewhere.
"""

import json
import os
import warnings

import botorch
import torch
from botorch.acquisition.analytic import LogConstrainedExpectedImprovement, LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement, qLogNoisyExpectedImprovement
from botorch.acquisition.multi_objective import logei
from botorch.models import ModelListGP, SingleTaskGP
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions import (
    DominatedPartitioning,
    FastNondominatedPartitioning,
)
from botorch.utils.safe_math import fatmax, log_fatplus
from gpytorch.kernels import MaternKernel, RBFKernel
from gpytorch.means import ConstantMean

SEED = 20
SAMPLES = 24
POINTS = 9
DIMENSION = 3

# The fused kernel is an optimization that needs a compiler.
logei._load_attempted = True
warnings.simplefilter("ignore")
torch.set_default_dtype(torch.double)
torch.set_num_threads(1)
torch.manual_seed(SEED)


def lists(tensor):
    return tensor.detach().tolist()


class Process:
    """A process with fixed hyperparameters over smooth outcomes."""

    def __init__(self, kernel, shift, points, noise):
        self.kernel, self.points = kernel, points
        self.outcomes = torch.cos(4 * (points[:, 0] - shift)) + (1 - shift) * points[:, 1] * points[:, 2]
        self.length_scales = 0.3 + torch.rand(DIMENSION)
        self.noise, self.mean = noise, 0.1 + 0.2 * shift
        covariance = (
            MaternKernel(nu=2.5, ard_num_dims=DIMENSION)
            if kernel == "matern52"
            else RBFKernel(ard_num_dims=DIMENSION)
        )
        covariance.lengthscale = self.length_scales
        self.model = SingleTaskGP(
            points,
            self.outcomes[:, None],
            covar_module=covariance,
            mean_module=ConstantMean(),
            outcome_transform=None,
        )
        self.model.likelihood.noise = noise
        self.model.mean_module.constant.data.fill_(self.mean)
        self.model.eval()

    def record(self):
        return {
            "kernel": self.kernel,
            "length_scales": lists(self.length_scales),
            "noise": self.noise,
            "mean": self.mean,
            "points": lists(self.points),
            "outcomes": lists(self.outcomes),
        }


def values_and_gradients(acquisition, candidates):
    """At [n, q, d]; the gradients are of the values' sum, which is each one's own."""
    candidates = candidates.clone().requires_grad_(True)
    values = acquisition(candidates)
    (gradients,) = torch.autograd.grad(values.sum(), candidates)
    return {"at": lists(candidates), "values": lists(values), "gradients": lists(gradients)}


def where_draws_improve(acquisition, count, q=1):
    """Random candidates that at least one draw finds better than the incumbents."""
    candidates = torch.rand(2000, q, DIMENSION)
    with torch.no_grad():
        values = torch.cat([acquisition(chunk) for chunk in candidates.split(50)])
    return candidates[values > -12][:count]


def base_samples(acquisition, objectives):
    """[objectives][points][samples], the candidates last."""
    base = acquisition.sampler.base_samples.reshape(SAMPLES, -1, objectives)
    return lists(base.permute(2, 1, 0))


def processes():
    records = []
    for kernel in ("matern52", "rbf"):
        for noise in (0.01, 0.2):
            process = Process(kernel, 0.3, torch.rand(12, DIMENSION), noise)
            model, at = process.model, torch.rand(6, DIMENSION)
            with torch.no_grad():
                posterior = model.posterior(at)
                model.train()
                density = model.likelihood(model(process.points)).log_prob(process.outcomes)
                model.eval()
            best = process.outcomes.max().item()
            log_ei = values_and_gradients(LogExpectedImprovement(model, best_f=best), at[:, None])
            records.append(
                process.record()
                | {
                    "log_marginal_likelihood": density.item(),
                    "at": lists(at),
                    "means": lists(posterior.mean[:, 0]),
                    "variances": lists(posterior.variance[:, 0]),
                    "best": best,
                    "log_ei": log_ei["values"],
                    "log_ei_gradients": [g[0] for g in log_ei["gradients"]],
                }
            )
    return records


def constrained():
    records = []
    for low, high in ((0.9, None), (None, 0.4), (0.5, 0.8), (25.0, None), (-9.0, -8.5)):
        points = torch.rand(POINTS, DIMENSION)
        objective, constraint = Process("matern52", 0.3, points, 0.02), Process("rbf", 0.7, points, 0.05)
        model = ModelListGP(objective.model, constraint.model)
        best = 0.9
        acquisition = LogConstrainedExpectedImprovement(model, best, 0, {1: (low, high)})
        records.append(
            {
                "objective": objective.record(),
                "constraint": constraint.record(),
                "best": best,
                "low": low,
                "high": high,
            }
            | values_and_gradients(acquisition, torch.rand(4, 1, DIMENSION))
        )
    return records


def batches():
    records = []
    for noisy in (False, True):
        for q in (1, 2, 3):
            process = Process("matern52", 0.3, torch.rand(POINTS, DIMENSION), 0.05)
            sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=SEED + q)
            best = process.outcomes.max().item() - 0.05
            if noisy:
                acquisition = qLogNoisyExpectedImprovement(
                    process.model, process.points, sampler=sampler, prune_baseline=False
                )
            else:
                acquisition = qLogExpectedImprovement(process.model, best, sampler=sampler)
            # Where no draw improves, too.
            candidates = torch.cat([where_draws_improve(acquisition, 3, q), torch.rand(3, q, DIMENSION)])
            record = values_and_gradients(acquisition, candidates)
            records.append(
                {
                    "process": process.record(),
                    "known": [] if noisy else [[best]],
                    "drawn": lists(process.points) if noisy else [],
                    "base_samples": base_samples(acquisition, 1),
                }
                | record
            )
    return records


def improvements():
    records = []
    for m in (2, 3, 4):
        for noisy in (False, True):
            points = torch.rand(POINTS, DIMENSION)
            each = [Process("matern52", 0.3 * o, points, 0.02 * (o + 1)) for o in range(m)]
            model = ModelListGP(*(process.model for process in each))
            sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=SEED + m)
            reference = [-0.4 - 0.1 * o for o in range(m)]
            with torch.no_grad():
                known = model.posterior(points).mean
            if noisy:
                acquisition = logei.qLogNoisyExpectedHypervolumeImprovement(
                    model, reference, points, sampler=sampler, prune_baseline=False
                )
            else:
                partitioning = FastNondominatedPartitioning(torch.tensor(reference), Y=known)
                acquisition = logei.qLogExpectedHypervolumeImprovement(
                    model, reference, partitioning, sampler=sampler, tau_max=1e-3
                )
            candidates = where_draws_improve(acquisition, 8)
            if m == 2:
                # Where no draw improves, too: with more objectives the far tail depends on how the region was cut.
                candidates = torch.cat([candidates, torch.rand(8, 1, DIMENSION)])
            record = values_and_gradients(acquisition, candidates)
            records.append(
                {
                    "surrogates": [process.record() for process in each],
                    "reference": reference,
                    "known": [] if noisy else lists(known),
                    "drawn": lists(points) if noisy else [],
                    "base_samples": base_samples(acquisition, m),
                }
                | record
            )
    return records


def hypervolumes():
    records = []
    for m in (2, 3, 4):
        for coarse in (False, True):
            values = torch.rand(14, m)
            if coarse:
                values = (5 * values).round() / 5
            reference = torch.full((m,), 0.1)
            dominated = DominatedPartitioning(reference, Y=values)
            free = FastNondominatedPartitioning(reference, Y=values)
            lower, upper = free.get_hypercell_bounds()
            sides = (upper.clamp_max(1.5) - lower).clamp_min(0)
            records.append(
                {
                    "values": lists(values),
                    "reference": lists(reference),
                    "hypervolume": dominated.compute_hypervolume().item(),
                    "undominated_below_1.5": sides.prod(-1).sum().item(),
                }
            )
    return records


def smoothing():
    x = torch.tensor([-1e6, -1e3, -40.0, -1.0, -1e-5, -1e-6, -1e-9, 0.0, 1e-7, 2e-6, 1e-4, 1.0, 40.0, 1e6])
    sets = [[0.0, 0.0], [-1.0, -1.003], [-20.0, -3.0, -3.02], [5.0, -1e3, 4.999], [-1e6, 1e6]]
    return {
        "x": lists(x),
        "log_fatplus": lists(log_fatplus(x, tau=1e-6)),
        "sets": sets,
        "fatmax": [fatmax(torch.tensor(s), dim=-1, tau=1e-2).item() for s in sets],
    }


def main():
    golden = {
        "tool": "botorch",
        "version": botorch.__version__,
        "command": "OMP_NUM_THREADS=1 python generate.py",
        "seed": SEED,
        "processes": processes(),
        "constrained": constrained(),
        "batches": batches(),
        "improvements": improvements(),
        "hypervolumes": hypervolumes(),
        "smoothing": smoothing(),
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "botorch.json")
    with open(path, "w") as file:
        json.dump(golden, file)
        file.write("\n")


if __name__ == "__main__":
    main()
