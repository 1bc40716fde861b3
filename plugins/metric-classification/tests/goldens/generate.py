"""Writes classification.json beside this file with scikit-learn's scores.

    pip install scikit-learn==1.7.2 && python generate.py
"""

import json
import pathlib
import random

import sklearn
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_score, recall_score

SEED = 7
random.seed(SEED)


def scores(truth, predicted):
    out = {"accuracy": accuracy_score(truth, predicted), "matthews": matthews_corrcoef(truth, predicted)}
    for name, function in [("f1", f1_score), ("precision", precision_score), ("recall", recall_score)]:
        for average in ["macro", "micro", "weighted"]:
            out[f"{name}|{average}"] = function(truth, predicted, average=average, zero_division=0)
        for positive in [0, 1]:
            value = function(truth, predicted, labels=[positive], average="macro", zero_division=0)
            out[f"{name}|binary|{positive}"] = value
    return {key: float(value) for key, value in out.items()}


cases = [([1, 0, 1], [1, 0, 1]), ([0, 0, 0], [0, 0, 0]), ([1, 1], [0, 0]), ([0], [1]), ([2, 0, 2], [0, 2, 1])]
for classes, size in [(2, 5), (2, 40), (3, 30), (5, 60), (9, 20), (2, 300)]:
    for agreement in [0.0, 0.5, 0.9]:
        truth = [random.randrange(classes) for _ in range(size)]
        predicted = [t if random.random() < agreement else random.randrange(classes) for t in truth]
        cases.append((truth, predicted))

golden = {
    "tool": "scikit-learn",
    "version": sklearn.__version__,
    "command": "python generate.py",
    "seed": SEED,
    "cases": [{"truth": t, "predicted": p, "scores": scores(t, p)} for t, p in cases],
}
path = pathlib.Path(__file__).with_name("classification.json")
path.write_text(json.dumps(golden) + "\n")
