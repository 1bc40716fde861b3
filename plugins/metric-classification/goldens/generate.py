"""Writes scikit-learn.json: what scikit-learn says about small splits.

    python3 -m venv venv && venv/bin/pip install scikit-learn==1.7.2 numpy==2.4.6
    venv/bin/python generate.py > scikit-learn.json
"""

import json
import platform

import numpy
import sklearn
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_score, recall_score

SEED = 20240917
random = numpy.random.default_rng(SEED)


def drawn(rows, labels, right, missing=()):
    """Labels of uneven frequency, predicted right with the given probability; classes in `missing` never occur."""
    classes = [label for label in range(labels) if label not in missing]
    weights = random.dirichlet(numpy.full(len(classes), 2.0))
    truth = random.choice(classes, rows, p=weights)
    guess = random.choice(classes, rows)
    predicted = numpy.where(random.random(rows) < right, truth, guess)
    return labels, truth.tolist(), predicted.tolist()


SPLITS = {
    "two labels": drawn(60, 2, 0.7),
    "two labels, guessed": drawn(40, 2, 0.0),
    "two labels, one row": (2, [1], [1]),
    "two labels, one wrong row": (2, [0], [1]),
    "two labels, all of class 0": (2, [0, 0, 0, 0], [0, 0, 0, 0]),
    "two labels, all of class 1": (2, [1, 1, 1, 1], [1, 1, 1, 1]),
    "two labels, one prediction for all": (2, [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]),
    "two labels, all wrong": (2, [0, 1, 0, 1, 1], [1, 0, 1, 0, 0]),
    "three labels": drawn(80, 3, 0.6),
    "three labels, one never true": (3, [0, 1, 0, 1, 1, 0], [0, 2, 0, 1, 1, 2]),
    "three labels, one never predicted": (3, [0, 1, 2, 1, 2, 0], [0, 1, 0, 1, 1, 1]),
    "five labels, two of them absent": drawn(50, 5, 0.5, missing=(1, 4)),
    "seven labels": drawn(120, 7, 0.8),
    "three labels, all right": (3, [0, 1, 2, 2], [0, 1, 2, 2]),
    "three labels, all wrong": (3, [0, 1, 2, 2], [1, 2, 0, 1]),
}
RATIOS = {"f1": f1_score, "precision": precision_score, "recall": recall_score}


def scores(labels, truth, predicted):
    found = {"accuracy": accuracy_score(truth, predicted), "matthews": matthews_corrcoef(truth, predicted)}
    for name, score in RATIOS.items():
        for average in ("macro", "micro", "weighted"):
            found[f"{name} {average}"] = score(truth, predicted, average=average, zero_division=0)
        if labels == 2:
            for positive in (0, 1):
                # One label in all rows: scikit-learn wants to be told that there are two.
                of = score(truth, predicted, labels=[positive], average=None, zero_division=0)[0]
                found[f"{name} binary {positive}"] = of
                if set(truth) | set(predicted) == {0, 1}:
                    assert of == score(truth, predicted, pos_label=positive, average="binary", zero_division=0)
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    golden = {
        "tool": "scikit-learn",
        "version": sklearn.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "command": "python generate.py > scikit-learn.json",
        "seed": SEED,
        "splits": [
            {"name": name, "labels": labels, "truth": truth, "predicted": predicted,
             "scores": scores(labels, truth, predicted)}
            for name, (labels, truth, predicted) in SPLITS.items()
        ],
    }
    head = json.dumps({k: v for k, v in golden.items() if k != "splits"})[:-1]
    print(head + ', "splits": [')
    print(",\n".join(json.dumps(split) for split in golden["splits"]))
    print("]}")
