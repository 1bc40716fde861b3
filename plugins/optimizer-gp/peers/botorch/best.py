"""The hypervolume that is there to be had: what results are divided by.

All objectives but the rippled ones fall with the weighted distance from their best point, so the points with the least
weighted sums of squared distances are the Pareto set. A ripple moves it by less than its own height (0.04).
"""

import itertools

import numpy as np

import run

STEPS = {2: 400, 3: 45}  # of the grid of weights


def hypervolume(problem, seed):
    """Of the noiseless truth on the dense Pareto set of one instance."""
    instance = problem.instance(seed)
    points = least_weighted_distance(instance, weight_grid(problem.objectives))
    return run.hypervolume(instance.normalised(instance.truth(points)))


def weight_grid(objectives):
    """All weights that are multiples of 1 / steps and sum to 1, [n, objectives]."""
    steps = STEPS[objectives]
    corners = itertools.product(range(steps + 1), repeat=objectives - 1)
    head = np.array([corner for corner in corners if sum(corner) <= steps])
    return np.column_stack([head, steps - head.sum(1)]) / steps


def least_weighted_distance(instance, weights):
    """The points of the simplex with the least weighted sums of the objectives' squared distances, [n, members].

    With curvature c and centre b, x = max(0, b - t / c) with the t for which x sums to one.
    """
    curvature = weights @ np.array(instance.weights)
    centre = weights @ (np.array(instance.weights) * np.array(instance.best)) / curvature
    low, high = np.full(len(weights), -1e4), np.full(len(weights), 1e4)
    for _ in range(100):
        middle = 0.5 * (low + high)
        sums = np.maximum(0.0, centre - middle[:, None] / curvature).sum(1)
        low, high = np.where(sums > 1.0, middle, low), np.where(sums > 1.0, high, middle)
    points = np.maximum(0.0, centre - low[:, None] / curvature)
    return points / points.sum(1, keepdims=True)
