"""ROUGE of thousands of random examples, side by side with rouge_score, and the speed of both on one thread: rouge [EXAMPLES [SEED]]"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time

from rouge_score import rouge_scorer

ROOT = os.environ.get("BOMF_ROOT", ".")
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
LETTERS = "aeioubcdfghlmnprsty"
SUFFIXES = ["", "", "", "s", "ed", "ing", "ly", "ation", "ness", "ies", "er", "ational", "fulness"]
ODD = ["é", "İ", "K", "안녕", "😀", "...", "it's", "re-do", "3.5", "\n", "\t", "שלום", "x_y", "", "e\u0301"]


def examples(count, draw):
    words = ["".join(draw.choices(LETTERS, k=draw.randint(1, 7))) + draw.choice(SUFFIXES) for _ in range(4000)]
    common = words[:60]

    def text(longest):
        found = []
        for _ in range(draw.randint(0, longest)):
            word = draw.choice(common) if draw.random() < 0.6 else draw.choice(words)
            found.append(draw.choice(ODD) if draw.random() < 0.04 else word.capitalize() if draw.random() < 0.1 else word)
            if draw.random() < 0.06:
                found[-1] += draw.choice([".\n", ".", ",", "\n", "!"])
        return " ".join(found)

    def like(other):
        kept = [word for word in other.split(" ") if draw.random() < 0.8]
        return " ".join(kept + text(8).split(" "))

    for _ in range(count):
        prediction = text(40)
        references = [like(prediction) if draw.random() < 0.7 else text(40) for _ in range(draw.choice([1, 1, 1, 2, 3, 5, 9]))]
        yield {"prediction": prediction, "references": references}


def ours(file, stemmer):
    command = ["cargo", "run", "-q", "--release", "-p", "metric-rouge", "--example", "score_rouge", "--"]
    command += ["rouge", json.dumps({"stemmer": stemmer}), "1", file]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(count=4000, seed=1):
    rows = list(examples(count, random.Random(seed)))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    pairs = sum(len(row["references"]) for row in rows)
    failed = False
    for stemmer in (False, True):
        scorer = rouge_scorer.RougeScorer(TYPES, use_stemmer=stemmer)
        start = time.process_time()
        theirs = [scorer.score_multi(row["references"], row["prediction"]) for row in rows]
        seconds = time.process_time() - start
        found = ours(out.name, stemmer)
        apart = max(
            abs(score[kind].fmeasure - value)
            for kind in TYPES
            for score, value in zip(theirs, found["per_example"][kind], strict=True)
        )
        failed |= apart > 1e-9
        print(
            f"{count} examples, {pairs} pairs, 4 types, {'stemmed' if stemmer else 'plain'}, one thread: rouge_score {seconds:.2f} s, "
            f"ours {found['seconds']:.4f} s (best of 3), {seconds / found['seconds']:.0f} times as fast; furthest apart {apart:.1e}"
        )
    os.remove(out.name)
    if failed:
        sys.exit("some scores differ by more than 1e-9")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
