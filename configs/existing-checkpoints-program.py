"""A bag of words that tells good movie reviews from bad ones: logistic regression over words and pairs of words.

    existing-checkpoints-program.py train REVIEWS FOLDER     leaves FOLDER/checkpoint-*/ and FOLDER/{validation,test}.tsv
    existing-checkpoints-program.py evaluate MODEL SPLIT     prints {"loss": ..., "accuracy": ...}

Needs Python 3.8 and nothing else. `bomf run existing-checkpoints-program.yaml` calls the second with its fusions of what the
first has left.
"""

import array
import collections
import json
import math
import pathlib
import random
import re
import struct
import sys

VALIDATION, TEST = 1000, 2000
EPOCHS = 15
RATE = 2.0


def features(text):
    """The words and pairs of words of a text, each once."""
    words = re.findall(r"[a-z0-9']+|[!?]", text.lower())
    pairs = [f"{a} {b}" for a, b in zip(words, words[1:])]
    return list(dict.fromkeys(words + pairs))


def read_split(path):
    """Pairs of a label (0 or 1) and a text, one a line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        label, text = line.split("\t", 1)
        yield int(label), text


def read_reviews(folder):
    """The reviews that are clearly good or bad, as the other configurations have them, in a random order."""
    reviews = []
    for line in (folder / "movie-reviews.tsv").read_text(encoding="latin-1").splitlines():
        _, rating, text = line.split("\t", 2)
        if abs(float(rating)) > 0.5:
            reviews.append((int(float(rating) > 0), " ".join(text.split())))
    random.Random(17).shuffle(reviews)
    return reviews


def probability(weights, columns):
    """That a text with these features is good. The last weight is the bias; the rest are scaled by how many there are."""
    score = weights[-1] + sum(weights[c] for c in columns) / math.sqrt(len(columns) or 1)
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def write_safetensors(path, weights):
    """One tensor of 32-bit floats."""
    tensor = {"dtype": "F32", "shape": [len(weights)], "data_offsets": [0, 4 * len(weights)]}
    header = json.dumps({"weights": tensor}).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack(f"<{len(weights)}f", *weights))


def read_safetensors(path):
    """The floats of the one tensor."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    begin, end = json.loads(data[8 : 8 + length])["weights"]["data_offsets"]
    return struct.unpack_from(f"<{(end - begin) // 4}f", data, 8 + length + begin)


def train(reviews, folder):
    """Stochastic gradient descent at a constant rate: its iterates circle the optimum, and averages of them come nearer."""
    folder.mkdir(parents=True, exist_ok=True)
    splits = {"validation": reviews[:VALIDATION], "test": reviews[VALIDATION : VALIDATION + TEST]}
    for name, rows in splits.items():
        text = "".join(f"{label}\t{text}\n" for label, text in rows)
        (folder / f"{name}.tsv").write_text(text, encoding="utf-8")
    rows = [(label, features(text)) for label, text in reviews[VALIDATION + TEST :]]
    counts = collections.Counter(feature for _, found in rows for feature in found)
    vocabulary = {f: i for i, f in enumerate(sorted(f for f, count in counts.items() if count > 1))}
    rows = [(label, [vocabulary[f] for f in found if f in vocabulary]) for label, found in rows]
    weights = array.array("d", bytes(8 * (len(vocabulary) + 1)))
    order = random.Random(18)
    for epoch in range(1, EPOCHS + 1):
        order.shuffle(rows)
        for label, columns in rows:
            change = RATE * (label - probability(weights, columns))
            weights[-1] += change
            share = change / math.sqrt(len(columns) or 1)
            for column in columns:
                weights[column] += share
        checkpoint = folder / f"checkpoint-{epoch * len(rows)}"
        checkpoint.mkdir(exist_ok=True)
        write_safetensors(checkpoint / "model.safetensors", weights)
        (checkpoint / "vocab.json").write_text(json.dumps(vocabulary))
    return {"checkpoints": EPOCHS, "features": len(vocabulary)}


def evaluate(model, split):
    """Mean negative log-likelihood in nats, and the share of right labels."""
    weights = read_safetensors(model / "model.safetensors")
    vocabulary = json.loads((model / "vocab.json").read_text())
    loss = right = count = 0
    for label, text in read_split(split):
        columns = [vocabulary[f] for f in features(text) if f in vocabulary]
        good = probability(weights, columns)
        loss -= math.log(good if label else 1 - good)
        right += (good > 0.5) == label
        count += 1
    return {"loss": loss / count, "accuracy": right / count}


if __name__ == "__main__":
    command, source, target = sys.argv[1:]
    source, target = pathlib.Path(source), pathlib.Path(target)
    if command == "train":
        print(json.dumps(train(read_reviews(source), target)))
    elif command == "evaluate":
        print(json.dumps(evaluate(source, target)))
    else:
        sys.exit(f"found `{command}`, expected `train` or `evaluate`")
