"""ROUGE of thousands of random examples, side by side with rouge_score, and how fast both are"""

import os
import random
import sys

from rouge_score import rouge_scorer

sys.path.insert(0, os.path.join(os.environ["BOMF_ROOT"], "tests/examples"))
import score_cases as cases

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
        yield prediction, references


def main():
    arguments = cases.arguments(__doc__, 8000)
    draw = random.Random(arguments.seed)
    predictions, references = zip(*examples(max(arguments.examples, arguments.pairs), draw))
    timed = cases.columns(predictions, [row[:1] for row in references])
    few = cases.columns(predictions[: arguments.examples], references[: arguments.examples])
    for name, stemmer in (("plain", False), ("stemmed", True)):
        scorer = rouge_scorer.RougeScorer(TYPES, use_stemmer=stemmer)
        case = {"metric": "rouge", "options": {"stemmer": stemmer}}
        [found] = cases.ours("metric-rouge", [{**case, "columns": few, "threads": 2}])
        for row, (prediction, texts) in enumerate(zip(*few.values())):
            wanted = scorer.score_multi(texts, prediction)
            for kind in TYPES:
                cases.expect(found["per_example"][kind][row], wanted[kind].fmeasure, f"{kind}, {name}", [prediction, texts])
        print(f"{arguments.examples:,} examples with 1 to 9 references, {len(TYPES)} types, {name}: equal to {cases.TOLERANCE}")

        def theirs(columns):
            scores = [scorer.score_multi(texts, prediction) for prediction, texts in zip(*columns.values())]
            return sum(score["rouge1"].fmeasure for score in scores) / len(scores), None

        if arguments.pairs:
            case["columns"] = timed
            cases.speed(f"ROUGE, {len(TYPES)} types, {name}", "metric-rouge", case, "rouge_score", theirs)


if __name__ == "__main__":
    main()
