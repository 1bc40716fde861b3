"""SQuAD 1.1 and 2.0 scores of random answers beside transformers' squad_evaluate, and speed side by side: squad [CORPORA [QUESTIONS [EVALUATE]]]"""

# EVALUATE is a checkout of huggingface/evaluate, which carries the official scripts: with it both are compared as well, and
# timed. transformers' own port of the 2.0 script is what a package brings.

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from types import SimpleNamespace

import transformers
from transformers.data.metrics import squad_metrics

ROOT = os.environ.get("BOMF_ROOT", ".")
CORPORA = int(sys.argv[1]) if len(sys.argv) > 1 else 400
QUESTIONS = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
TOLERANCE, SEED = 1e-9, 1


def ours(cases):
    command = ["cargo", "run", "-q", "--release", "-p", "metric-squad", "--example", "score_squad"]
    lines = "\n".join(map(json.dumps, cases))
    output = subprocess.run(command, cwd=ROOT, input=lines, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return [json.loads(line) for line in output.stdout.splitlines()]


def expect(found, wanted, what, case):
    for name, value in wanted.items():
        if name not in found or abs(found[name] - value) > TOLERANCE * max(1.0, abs(value)):
            raise SystemExit(f"{what}: {name}: found {found.get(name)!r}, expected {value!r}\n{json.dumps(case)}")


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
    return {"predicted_text": predictions, "reference_text": references, "no_answer_probability": probabilities}


def by_transformers(case):
    """Exact, F1 and their groups, at a threshold and at the best ones."""
    columns = zip(case["predicted_text"], case["reference_text"], case["no_answer_probability"])
    examples, predictions, probabilities = [], {}, {}
    for row, (prediction, references, probability) in enumerate(columns):
        examples.append(SimpleNamespace(qas_id=str(row), answers=[{"text": text} for text in references]))
        predictions[str(row)], probabilities[str(row)] = prediction, probability
    threshold = case["options"]["no_answer_threshold"]
    start = time.process_time()
    found = squad_metrics.squad_evaluate(examples, predictions, probabilities, no_answer_probability_threshold=threshold)
    seconds = time.process_time() - start
    return dict(found), seconds


def load(evaluate, metric):
    spec = importlib.util.spec_from_file_location(metric, os.path.join(evaluate, "metrics", metric, "compute_score.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_v2(script, case):
    columns = list(zip(case["predicted_text"], case["reference_text"], case["no_answer_probability"]))
    dataset = [{"paragraphs": [{"qas": [{"id": str(row), "answers": {"text": references}} for row, (_, references, _) in enumerate(columns)]}]}]
    predictions = {str(row): column[0] for row, column in enumerate(columns)}
    probabilities = {str(row): column[2] for row, column in enumerate(columns)}
    threshold = case["options"]["no_answer_threshold"]
    start = time.process_time()
    has_answer = script.make_qid_to_has_ans(dataset)
    exact_raw, f1_raw = script.get_raw_scores(dataset, predictions)
    exact, f1 = (script.apply_no_ans_threshold(raw, probabilities, has_answer, threshold) for raw in (exact_raw, f1_raw))
    found = script.make_eval_dict(exact, f1)
    for prefix, wanted in (("HasAns", True), ("NoAns", False)):
        group = [k for k, v in has_answer.items() if v == wanted]
        if group:
            script.merge_eval(found, script.make_eval_dict(exact, f1, qid_list=group), prefix)
    script.find_all_best_thresh(found, predictions, exact_raw, f1_raw, probabilities, has_answer)
    return dict(found), time.process_time() - start


def by_v1(script, case):
    columns = list(zip(case["predicted_text"], case["reference_text"]))
    questions = [{"id": str(row), "answers": [{"text": text} for text in references]} for row, (_, references) in enumerate(columns)]
    predictions = {str(row): column[0] for row, column in enumerate(columns)}
    start = time.process_time()
    found = script.compute_score([{"paragraphs": [{"qas": questions}]}], predictions)
    return found, time.process_time() - start


def answered(case):
    rows = [row for row in zip(case["predicted_text"], case["reference_text"]) if row[1]] or [("x", ["x"])]
    return {"metric": "squad", "options": {}, "predicted_text": [row[0] for row in rows], "reference_text": [row[1] for row in rows]}


def parity(scripts):
    rng, cases = random.Random(SEED), []
    for _ in range(CORPORA):
        threshold = rng.choice([1.0, 0.5, 0.0, rng.random()])
        case = {"metric": "squad_v2", "options": {"no_answer_threshold": threshold}, "threads": rng.randint(1, 3), **drawn(rng, rng.randint(1, 60))}
        cases += [case, answered(case)]
    compared = 0
    for case, found in zip(cases, ours(cases), strict=True):
        if case["metric"] == "squad_v2":
            expect(found["scores"], by_transformers(case)[0], "squad_v2 and transformers", case)
            if scripts:
                expect(found["scores"], by_v2(scripts[1], case)[0], "squad_v2 and the official script", case)
        elif scripts:
            expect(found["scores"], by_v1(scripts[0], case)[0], "squad and the official script", case)
        compared += len(case["predicted_text"])
    print(f"transformers {transformers.__version__}: {compared} answers in {2 * CORPORA} corpora equal to {TOLERANCE}"
          + (", official scripts too" if scripts else "; `squad` was not compared: no checkout was given"))


def speed(scripts):
    rng = random.Random(SEED)
    words = ["".join(rng.choice("etaoinshrdlucmfwyp") for _ in range(rng.randint(1, 9))) + " " for _ in range(3000)]
    case = {"metric": "squad_v2", "options": {"no_answer_threshold": 1.0}, **drawn(rng, QUESTIONS, words + ["the "] * 300 + ["of ", "in "] * 200)}
    found = min(ours([case] * 3), key=lambda result: result["seconds"])
    for name, (wanted, seconds) in {
        "transformers' squad_evaluate": by_transformers(case), **({"the official script of 2.0": by_v2(scripts[1], case)} if scripts else {})
    }.items():
        expect(found["scores"], wanted, name, {})
        print(f"squad_v2: {QUESTIONS} questions, {name} {seconds:.2f} s, ours {found['seconds']:.3f} s, "
              f"{seconds / found['seconds']:.0f} times as fast (CPU, one thread each)")


if __name__ == "__main__":
    checkout = [load(sys.argv[3], metric) for metric in ("squad", "squad_v2")] if len(sys.argv) > 3 else None
    parity(checkout)
    speed(checkout)
