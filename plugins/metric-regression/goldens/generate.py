"""Writes scipy.json: what scipy and scikit-learn say about small lists of numbers.

    python3 -m venv venv && venv/bin/pip install scipy==1.16.3 scikit-learn==1.7.2 numpy==2.4.6
    venv/bin/python generate.py > scipy.json
"""

import json
import platform

import numpy
import scipy
import sklearn
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, root_mean_squared_error

SEED = 20240919
random = numpy.random.default_rng(SEED)


def drawn(rows, noise, scale=1.0, shift=0.0, digits=None):
    truth = shift + scale * random.normal(size=rows)
    predicted = truth + noise * scale * random.normal(size=rows)
    if digits is not None:
        truth, predicted = numpy.round(truth, digits), numpy.round(predicted, digits)
    return truth, predicted


SPLITS = {
    "good": drawn(80, 0.3),
    "noise": drawn(60, 30.0),
    "ties": drawn(100, 0.8, digits=0),
    "far from zero": drawn(50, 0.5, shift=1e5),
    "large": drawn(40, 0.5, scale=1e100),
    "small": drawn(40, 0.5, scale=1e-100),
    "two rows": (numpy.array([1.0, 2.0]), numpy.array([5.0, 3.0])),
    "both zeros": (numpy.array([0.0, -0.0, 1.0, 2.0]), numpy.array([-0.0, 1.0, 0.0, 4.0])),
    "same": (numpy.array([0.5, 0.1, 0.9]), numpy.array([0.5, 0.1, 0.9])),
    "ratings": (random.integers(0, 6, 70).astype(float), random.integers(0, 6, 70).astype(float)),
}


def scores(truth, predicted):
    found = {
        "pearson": pearsonr(truth, predicted).statistic,
        "spearman": spearmanr(truth, predicted).statistic,
        "mse": mean_squared_error(truth, predicted),
        "rmse": root_mean_squared_error(truth, predicted),
        "mae": mean_absolute_error(truth, predicted),
    }
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    golden = {
        "tool": "scipy",
        "version": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "command": "python generate.py > scipy.json",
        "seed": SEED,
    }
    splits = [
        {"name": name, "truth": truth.tolist(), "predicted": predicted.tolist(), "scores": scores(truth, predicted)}
        for name, (truth, predicted) in SPLITS.items()
    ]
    print(json.dumps(golden)[:-1] + ', "splits": [')
    print(",\n".join(json.dumps(split) for split in splits))
    print("]}")
