"""Writes squad.json: what the official scripts of SQuAD 1.1 and 2.0 say about answers written for the purpose.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6
    venv/bin/python generate.py EVALUATE

No package carries the scripts: EVALUATE is a checkout of huggingface/evaluate at v0.4.6, which has both as `compute_score.py` in
the folders of its metrics `squad` and `squad_v2`.
"""

import importlib.util
import json
import os
import platform
import random
import sys

SEED = 20240917
HERE = os.path.dirname(os.path.abspath(__file__))


def load(evaluate, metric):
    spec = importlib.util.spec_from_file_location(metric, os.path.join(evaluate, "metrics", metric, "compute_score.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(rng, rows, least, most):
    words = ["the", "The", "a", "an", "cat", "Cat", "dog.", "(sat)", "é", "É", "1889", "in", "—", "日本", "U.S.", "x-y", "\n", "a\u0301", "İ"]

    def answer():
        return " ".join(rng.choice(words) for _ in range(rng.randint(0, 5)))

    return [(answer(), [answer() for _ in range(rng.randint(least, most))], rng.choice([0.0, 0.25, 0.5, 0.75, rng.random()])) for _ in range(rows)]


def corpora():
    rng = random.Random(SEED)
    long = " ".join(rng.choice(["the", "cat", "sat", "mat", "a", "Dog", "1", "2"]) for _ in range(2000))
    return {
        "plain": [("the Eiffel Tower!", ["Eiffel tower", "tower"], 0.1), ("in 1889", ["1889"], 0.7), ("Paris, France", ["paris"], 0.3), ("", [], 0.9)],
        "identical": [("a line", ["a line"], 0.0), ("another", ["another", "one"], 0.5)],
        "disjoint": [("one two", ["three four"], 0.2), ("α β", ["а б", "в"], 0.4), ("said", [], 0.6)],
        "empty": [("", ["", "x"], 0.5), ("", ["x"], 0.1), ("x", [""], 0.2), ("", [""], 0.3), (" \t\n", ["y"], 0.4)],
        "nothing left of the references": [("the", ["a", "an"], 0.5), ("x", ["the", "."], 0.1), ("", ["!"], 0.2), ("?!", ["The"], 0.3)],
        "only punctuation": [("...", ["...", "!"], 0.0), ("—", ["—", "-"], 0.1), ("-", [], 0.2), ("“x”", ["x", "\"x\""], 0.3)],
        "only articles": [("the a an", ["a the", "An"], 0.0), ("The", ["cat"], 0.1), ("a", [], 0.9), ("the the cat", ["a cat"], 0.3)],
        "emoji": [("👍🏽 a 👍", ["👍 👍🏽", "thumb"], 0.0), ("a👍the", ["👍"], 0.1)],
        "combining marks": [("a\u0301 cafe\u0301", ["\u0301 café", "á"], 0.0), ("नमस्ते दुनिया", ["नमस्ते"], 0.1), ("aः the\u0308", ["ः \u0308"], 0.2)],
        "right to left": [("שלום עולם", ["עולם, שלום"], 0.0), ("مرحبا ١٢٫٥", ["مرحبا"], 0.1)],
        "korean": [("나는 학교에 갔다.", ["학교에 갔다", "나는 갔다!"], 0.0), ("서울", ["서울"], 0.1)],
        "case": [("ΟΔΟΣ İSTANBUL ẞ", ["οδος i̇stanbul ß", "οδοσ"], 0.0), ("ΑΣ. ǅ", ["ας ǆ"], 0.1)],
        "newlines and tabs": [("a\nb\tc", ["b c"], 0.0), ("x\x1cthe\x85y\u2003z\u200b", ["x y z\u200b"], 0.1), ("a_b", ["ab"], 0.2), ("\x01a\x01", ["\x01 \x01"], 0.3)],
        "very long": [(long, [long[::-1], long + " end", long[:500]], 0.0), ("short", [long], 0.1)],
        "no question has an answer": [("", [], 0.2), ("x", [], 0.9), ("the", [], 0.5)],
        "ties": [("x", [], 0.5), ("y", ["y"], 0.5), ("z", ["z"], 0.5), ("w", [], 0.5), ("", ["v"], 0.5)],
        "sure of no answer": [("x", ["x"], 1.5), ("x", [], 1.5), ("y z", ["y"], 1.0), ("", [], -2.0)],
        "one to nine references": drawn(rng, 60, 1, 9),
        "some without an answer": drawn(rng, 80, 0, 3),
    }


def v1(script, rows):
    questions = [{"id": str(i), "answers": [{"text": text} for text in references]} for i, (_, references, _) in enumerate(rows)]
    predictions = {str(i): row[0] for i, row in enumerate(rows)}
    both = lambda ids: script.compute_score([{"paragraphs": [{"qas": [questions[i] for i in ids]}]}], predictions)
    each = [both([i]) for i in range(len(rows))]
    return both(range(len(rows))), {name: [one[name] for one in each] for name in ("exact_match", "f1")}


def v2(script, rows, threshold=1.0, probabilities=True):
    """The steps of the script's `main`, with the best thresholds whether or not there are probabilities, as evaluate has it."""
    dataset = [{"paragraphs": [{"qas": [{"id": str(i), "answers": {"text": row[1]}} for i, row in enumerate(rows)]}]}]
    predictions = {str(i): row[0] for i, row in enumerate(rows)}
    na_probs = {str(i): row[2] if probabilities else 0.0 for i, row in enumerate(rows)}
    has_answer = script.make_qid_to_has_ans(dataset)
    exact_raw, f1_raw = script.get_raw_scores(dataset, predictions)
    exact = script.apply_no_ans_threshold(exact_raw, na_probs, has_answer, threshold)
    f1 = script.apply_no_ans_threshold(f1_raw, na_probs, has_answer, threshold)
    found = script.make_eval_dict(exact, f1)
    for prefix, wanted in (("HasAns", True), ("NoAns", False)):
        group = [k for k, v in has_answer.items() if v == wanted]
        if group:
            script.merge_eval(found, script.make_eval_dict(exact, f1, qid_list=group), prefix)
    script.find_all_best_thresh(found, predictions, exact_raw, f1_raw, na_probs, has_answer)
    return dict(found), {"exact": [100.0 * x for x in exact.values()], "f1": [100.0 * x for x in f1.values()]}


def cases(evaluate):
    first, second = load(evaluate, "squad"), load(evaluate, "squad_v2")
    for name, rows in corpora().items():
        if all(row[1] for row in rows):
            scores, each = v1(first, rows)
            yield {"corpus": name, "metric": "squad", "options": {}, "probabilities": True, "scores": scores, "per_example": each}
        for threshold in (1.0, 0.5, 0.0):
            scores, each = v2(second, rows, threshold)
            yield {"corpus": name, "metric": "squad_v2", "options": {"no_answer_threshold": threshold}, "probabilities": True, "scores": scores, "per_example": each}
        scores, each = v2(second, rows, probabilities=False)
        yield {"corpus": name, "metric": "squad_v2", "options": {}, "probabilities": False, "scores": scores, "per_example": each}


if __name__ == "__main__":
    head = {
        "tool": "the official scripts of SQuAD 1.1 and 2.0, from evaluate", "version": "0.4.6", "python": platform.python_version(),
        "command": "python generate.py EVALUATE", "seed": SEED,
    }
    with open(os.path.join(HERE, "squad.json"), "w", encoding="utf-8") as out:
        out.write(json.dumps(head)[:-1] + ', "corpora": {\n')
        columns = lambda rows: dict(zip(("predicted_text", "reference_text", "no_answer_probability"), map(list, zip(*rows))))
        out.write(",\n".join(f"{json.dumps(name)}: {json.dumps(columns(rows), ensure_ascii=False)}" for name, rows in corpora().items()))
        out.write('\n}, "cases": [\n')
        out.write(",\n".join(map(json.dumps, cases(sys.argv[1]))))
        out.write("\n]}\n")
