"""Scores of thousands of random examples beside scikit-learn and scipy: classification and regression.

    cargo xtask peers scikit-learn [--files 40] [--seed 1] [--quick]
"""

import argparse
import json
import os
import subprocess
import tempfile

import numpy
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics

TOLERANCE = 1e-9


def bomf(examples, names, *options):
    """What `bomf score` says of the examples."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("".join(json.dumps(example) + "\n" for example in examples))
        file.flush()
        command = [os.environ["BOMF_BIN"], "score", *names, "--examples", file.name, "--plugins", os.environ["BOMF_PLUGINS_DIR"]]
        for option in options:
            command += ["--option", option]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
    return {name: value for entry in names for name, value in found[entry].items()}


def classification(random):
    labels = int(random.integers(2, 7))
    rows = int(random.integers(labels, 400))
    truth = numpy.concatenate([numpy.arange(labels), random.integers(0, labels, rows - labels)])
    logits = random.normal(size=(rows, labels)) + random.uniform(0, 3) * numpy.eye(labels)[truth]
    # One digit after the point in half of the files: many ties.
    logits = numpy.round(logits, int(random.choice([0, 9])))
    scores = numpy.exp(logits)
    scores /= scores.sum(axis=1, keepdims=True)
    predicted = scores.argmax(axis=1)
    examples = [
        {"label": int(a), "prediction": int(b), "scores": c.tolist()} for a, b, c in zip(truth, predicted, scores)
    ]
    names = ["accuracy", "balanced_accuracy", "f1", "precision", "recall", "matthews", "auroc", "brier"]
    expected = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "matthews": metrics.matthews_corrcoef(truth, predicted),
        "brier": metrics.brier_score_loss(truth, scores, labels=range(labels), scale_by_half=True),
    }
    average = str(random.choice(["macro", "weighted", "micro"]))
    for name, score in [("f1", metrics.f1_score), ("precision", metrics.precision_score), ("recall", metrics.recall_score)]:
        expected[name] = score(truth, predicted, average=average, zero_division=0)
    options = [f"{name}.average={average}" for name in ("f1", "precision", "recall")]
    if labels == 2:
        expected["auroc"] = metrics.roc_auc_score(truth, scores[:, 1])
    else:
        how, average = str(random.choice(["ovr", "ovo"])), str(random.choice(["macro", "weighted"]))
        expected["auroc"] = metrics.roc_auc_score(truth, scores, multi_class=how, average=average)
        options += [f"auroc.multi_class={how}", f"auroc.average={average}"]
    return bomf(examples, names, *options), expected


def regression(random):
    rows = int(random.integers(3, 400))
    truth = random.normal(size=rows) * 10.0 ** random.integers(-3, 4)
    predicted = truth + random.uniform(0, 3) * truth.std() * random.normal(size=rows)
    if random.random() < 0.5:
        truth, predicted = numpy.round(truth, 1), numpy.round(predicted, 1)
        truth[0] += 1.0
        predicted[0] += 1.0
    examples = [{"value": float(a), "prediction": float(b)} for a, b in zip(truth, predicted)]
    expected = {
        "pearson": pearsonr(truth, predicted).statistic,
        "spearman": spearmanr(truth, predicted).statistic,
        "mse": metrics.mean_squared_error(truth, predicted),
        "rmse": metrics.root_mean_squared_error(truth, predicted),
        "mae": metrics.mean_absolute_error(truth, predicted),
    }
    return bomf(examples, list(expected)), expected


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a quarter of the files")
    arguments = parser.parse_args()
    random = numpy.random.default_rng(arguments.seed)
    compared, worst = 0, 0.0
    for _ in range(arguments.files // 4 if arguments.quick else arguments.files):
        for draw in (classification, regression):
            found, expected = draw(random)
            for name, value in expected.items():
                distance = abs(found[name] - value) / max(1.0, abs(value))
                assert distance <= TOLERANCE, f"{name}: found {found[name]}, expected {value}"
                compared, worst = compared + 1, max(worst, distance)
    print(f"{compared} scores compared, the farthest apart by {worst:.1e}")


if __name__ == "__main__":
    main()
