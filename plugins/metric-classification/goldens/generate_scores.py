"""Writes scores.json: what scikit-learn and torchmetrics say about small splits with a score per label.

    python3 -m venv venv && venv/bin/pip install scikit-learn==1.7.2 numpy==2.4.6 torch==2.13.0 torchmetrics==1.9.0
    venv/bin/python generate_scores.py > scores.json
"""

import json
import platform
import warnings

import numpy
import sklearn
import torch
import torchmetrics
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, roc_auc_score
from torchmetrics.functional.classification.calibration_error import _ce_compute

SEED = 20240918
random = numpy.random.default_rng(SEED)


def drawn(rows, labels, sharpness=1.0, digits=None):
    """Labels of uneven frequency, all of which occur; scores that know something of them. `digits`: many ties."""
    weights = random.dirichlet(numpy.full(labels, 4.0))
    truth = numpy.concatenate([numpy.arange(labels), random.choice(labels, rows - labels, p=weights)])
    logits = random.normal(size=(rows, labels)) + 1.2 * numpy.eye(labels)[truth]
    scores = numpy.exp(sharpness * logits)
    scores /= scores.sum(axis=1, keepdims=True)
    if digits is not None:
        scores = numpy.round(scores, digits)
        scores[:, -1] = 1.0 - scores[:, :-1].sum(axis=1)
    return truth, scores


SPLITS = {
    "two labels": drawn(80, 2),
    "two labels, ties": drawn(60, 2, digits=1),
    "two labels, sharp": drawn(50, 2, sharpness=6.0),
    "two labels, two rows": (numpy.array([1, 0]), numpy.array([[0.3, 0.7], [0.25, 0.75]])),
    "two labels, all alike": (numpy.array([1, 0, 1]), numpy.full((3, 2), 0.5)),
    "three labels": drawn(90, 3),
    "three labels, ties": drawn(70, 3, digits=1),
    "five labels": drawn(150, 5),
    "nine labels, sharp": drawn(200, 9, sharpness=4.0),
}


def scores_of(truth, scores):
    labels = scores.shape[1]
    found = {"balanced_accuracy": balanced_accuracy_score(truth, scores.argmax(axis=1))}
    found["brier"] = brier_score_loss(truth, scores, labels=range(labels), scale_by_half=True)
    if labels == 2:
        found["auroc"] = roc_auc_score(truth, scores[:, 1])
    else:
        for how in ("ovr", "ovo"):
            for average in ("macro", "weighted"):
                found[f"auroc {how} {average}"] = roc_auc_score(truth, scores, multi_class=how, average=average)
    confidence = scores.max(axis=1)
    for bins in (5, 10, 15, 32):
        # torchmetrics puts a confidence that is a bound of bins into the upper one (and 1 into one of its own), Guo et al.
        # into the lower one: where there is such a confidence, there is nothing to compare.
        bounds = numpy.arange(bins + 1) / bins
        if numpy.abs(confidence[:, None] - bounds).min() > 1e-12:
            # What `multiclass_calibration_error(norm="l1")` calls, which rounds confidences to f32 first.
            right = torch.from_numpy((scores.argmax(axis=1) == truth).astype(float))
            found[f"ece {bins}"] = _ce_compute(
                torch.from_numpy(confidence), right, torch.linspace(0, 1, bins + 1), norm="l1"
            ).item()
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    warnings.simplefilter("error")
    # Bounds of bins and sums over them are in the default type.
    torch.set_default_dtype(torch.float64)
    golden = {
        "tool": "scikit-learn",
        "version": sklearn.__version__,
        "torchmetrics": torchmetrics.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "command": "python generate_scores.py > scores.json",
        "seed": SEED,
    }
    splits = [
        {"name": name, "truth": truth.tolist(), "width": scores.shape[1], "scores": scores.ravel().tolist(),
         "expected": scores_of(truth, scores)}
        for name, (truth, scores) in SPLITS.items()
    ]
    print(json.dumps(golden)[:-1] + ', "splits": [')
    print(",\n".join(json.dumps(split) for split in splits))
    print("]}")
