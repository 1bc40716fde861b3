"""Writes rouge_score.json: what rouge_score says about the pairs of ../../text/goldens/texts.py.

    python3 -m venv venv && venv/bin/pip install rouge_score==0.1.2 nltk==3.10.4
    venv/bin/python generate.py > rouge_score.json
"""

import importlib.metadata
import json
import os
import platform
import sys

from rouge_score import rouge_scorer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../text/goldens"))
import texts

TYPES = ["rouge1", "rouge2", "rouge3", "rouge4", "rouge9", "rougeL", "rougeLsum"]

if __name__ == "__main__":
    scorers = {stemmer: rouge_scorer.RougeScorer(TYPES, use_stemmer=stemmer) for stemmer in (False, True)}
    golden = {
        "tool": "rouge_score",
        "version": importlib.metadata.version("rouge_score"),
        "nltk": importlib.metadata.version("nltk"),
        "python": platform.python_version(),
        "command": "python generate.py > rouge_score.json",
        "seed": texts.SEED,
        "types": TYPES,
        "pairs": [],
    }
    print(json.dumps(golden)[:-2])
    lines = []
    for name, predicted, references in texts.pairs():
        row = {"name": name, "predicted": predicted, "references": references}
        for stemmer, scorer in scorers.items():
            # Precision, recall and F of each type.
            found = scorer.score_multi(references, predicted)
            row["stemmed" if stemmer else "plain"] = [[float(x) for x in found[kind]] for kind in TYPES]
        lines.append(json.dumps(row))
    print(",\n".join(lines))
    print("]}")
