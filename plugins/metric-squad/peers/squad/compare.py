"""SQuAD 1.1 and 2.0 scores of random answers beside transformers' squad_evaluate, and how fast both are"""

# transformers' port of the official 2.0 script is what a package brings; 1.1 differs from it for empty answers alone.

import os
import random
import sys
import time
from types import SimpleNamespace

import transformers
from transformers.data.metrics import squad_metrics

sys.path.insert(0, os.path.join(os.environ["BOMF_ROOT"], "tests/examples"))
import score_cases


def drawn(rng, rows, pieces=None):
    pieces = pieces or ["the ", "The ", "a", "an ", "cat ", "Cat", "dog. ", "(sat) ", "é", "É ", "1889 ", "in ", "—", "日本 ", "U.S. ", "x-y ", "\n",
                        "\x1c", "\u2003", "a\u0301 ", "İ", "Σ", "ः", "½", "_", "😀", "한국", "שלום ", "\u200b"]

    def answer():
        if rng.random() < 0.05:
            return "".join(chr(c) for c in (rng.randrange(0x110000) for _ in range(rng.randint(0, 20))) if not 0xD800 <= c < 0xE000)
        return "".join(rng.choice(pieces) for _ in range(rng.randint(0, 7)))

    references = [[answer() for _ in range(rng.choice([0, 1, 1, 2, 3, 9]))] for _ in range(rows)]
    predictions = [rng.choice(row) if row and rng.random() < 0.4 else answer() if rng.random() < 0.8 else "" for row in references]
    probabilities = [rng.choice([0.0, 0.5, 1.0, rng.random()]) for _ in range(rows)]
    return {**score_cases.columns(predictions, references), "no_answer_probability": probabilities}


def by_transformers(columns, threshold):
    """Exact, F1 and their groups, at a threshold and at the best ones; the seconds that took."""
    examples, predictions, probabilities = [], {}, {}
    for row, (prediction, references, probability) in enumerate(zip(*columns.values())):
        examples.append(SimpleNamespace(qas_id=str(row), answers=[{"text": text} for text in references]))
        predictions[str(row)], probabilities[str(row)] = prediction, probability
    start = time.process_time()
    found = squad_metrics.squad_evaluate(examples, predictions, probabilities, no_answer_probability_threshold=threshold)
    return dict(found), time.process_time() - start


def by_v1(predictions, references):
    """The script of 1.1: answers of no word share nothing with any."""

    def f1(prediction, reference):
        are_words = squad_metrics.get_tokens(prediction) and squad_metrics.get_tokens(reference)
        return squad_metrics.compute_f1(reference, prediction) if are_words else 0

    def mean(score):
        return 100 * sum(max(score(prediction, text) for text in row) for prediction, row in zip(predictions, references)) / len(predictions)

    return {"exact_match": mean(lambda prediction, text: squad_metrics.compute_exact(text, prediction)), "f1": mean(f1)}


def parity(corpora, seed):
    rng, cases, wanted, compared = random.Random(seed), [], [], 0
    for _ in range(corpora):
        threshold, columns, threads = rng.choice([1.0, 0.5, 0.0, rng.random()]), drawn(rng, rng.randint(1, 60)), rng.randint(1, 3)
        cases.append({"metric": "squad_v2", "options": {"no_answer_threshold": threshold}, "columns": columns, "threads": threads})
        wanted.append(by_transformers(columns, threshold)[0])
        rows = [row[:2] for row in zip(*columns.values()) if row[1]] or [("x", ["x"])]
        cases.append({"metric": "squad", "options": {}, "columns": score_cases.columns(*zip(*rows)), "threads": threads})
        wanted.append(by_v1(*zip(*rows)))
    for case, wanted, found in zip(cases, wanted, score_cases.ours("metric-squad", cases), strict=True):
        for name, value in wanted.items():
            score_cases.expect(found["scores"].get(name), value, f"{case['metric']}: {name}", case)
        compared += len(case["columns"]["predicted_text"])
    print(f"transformers {transformers.__version__}: {compared:,} answers in {len(cases):,} corpora equal to {score_cases.TOLERANCE}")


def speed(questions, seed):
    rng = random.Random(seed)
    words = ["".join(rng.choice("etaoinshrdlucmfwyp") for _ in range(rng.randint(1, 9))) + " " for _ in range(3000)]
    columns = drawn(rng, questions, words + ["the "] * 300 + ["of ", "in "] * 200)
    case = {"metric": "squad_v2", "options": {"no_answer_threshold": 1.0}, "columns": columns}

    def theirs(columns):
        found, seconds = by_transformers(columns, 1.0)
        return found["exact"], seconds

    score_cases.speed("squad_v2", "metric-squad", case, "transformers", theirs)


if __name__ == "__main__":
    # Two corpora of some 30 answers are drawn at a time.
    arguments = score_cases.arguments(__doc__, 24_000)
    parity(arguments.examples // 60, arguments.seed)
    if arguments.pairs:
        speed(arguments.pairs, arguments.seed)
