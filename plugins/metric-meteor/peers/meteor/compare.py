"""METEOR of thousands of random examples, side by side with nltk, and the speed of both on one thread: meteor [EXAMPLES [SEED]]"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import nltk

ROOT = os.environ.get("BOMF_ROOT", ".")
BOMF = os.environ.get("BOMF_BIN", "bomf")
PARTS = ["noun", "verb", "adj", "adv"]
ODD = ["é", "İ", "안녕", "😀", "...", "it's", "don't", "cannot", '"quoted"', "'tis", "3.5", "1,000", "\n", "\t", "שלום", "x_y", "", "--", "(so)", "U.S.", "gonna"]


def wordnet():
    """The asset's folder, and the same files with nltk's line ends where nltk looks for them, beside three that it wants to see."""
    subprocess.run([BOMF, "assets", "fetch", "wordnet"], check=True, stdout=subprocess.DEVNULL)
    folder = subprocess.run([BOMF, "assets", "path", "wordnet"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    nltk_data = tempfile.mkdtemp()
    copy = os.path.join(nltk_data, "corpora", "wordnet")
    os.makedirs(copy)
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file, open(os.path.join(copy, name), "wb") as out:
            out.write(file.read().replace(b"\r", b""))
    for name, lines in {"lexnames": (f"{i:02d}\tfile{i}\t1\n" for i in range(45)), "index.sense": [], "cntlist.rev": []}.items():
        with open(os.path.join(copy, name), "w") as out:
            out.writelines(lines)
    nltk.data.path[:] = [nltk_data]
    return folder, nltk_data


def examples(count, draw, folder):
    """Texts of words of WordNet and their forms; references say much of the same with synonyms."""
    groups = []
    for part in PARTS:
        with open(os.path.join(folder, f"data.{part}")) as file:
            for line in file:
                fields = line.split()
                if not line.startswith(" "):
                    groups.append([name for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2] if "_" not in name])
    groups = draw.sample([group for group in groups if len(group) > 1], 3000)
    common = "the a of to and in is was it that he she for on with as at by".split()

    def form(word):
        word = word.split("(")[0]
        return word + draw.choice(["", "", "", "", "s", "es", "ed", "ing", "er", "ly", "ies"])

    def token():
        if draw.random() < 0.45:
            return draw.choice(common), None
        group = draw.choice(groups)
        return form(draw.choice(group)), group

    def spoken(tokens):
        found = []
        for word, _ in tokens:
            word = draw.choice(ODD) if draw.random() < 0.04 else word.capitalize() if draw.random() < 0.1 else word
            found.append(word + (draw.choice([".", ",", "?", "!", ";", "'s", ":"]) if draw.random() < 0.1 else ""))
        return " ".join(found)

    def like(tokens):
        kept = [(form(draw.choice(group)) if group and draw.random() < 0.5 else word, group) for word, group in tokens if draw.random() < 0.85]
        if draw.random() < 0.3:
            cut = draw.randint(0, len(kept))
            kept = kept[cut:] + kept[:cut]
        return kept + [token() for _ in range(draw.randint(0, 6))]

    for _ in range(count):
        tokens = [token() for _ in range(draw.randint(0, 35))]
        references = [like(tokens) for _ in range(draw.choice([1, 1, 1, 2, 3, 5, 9]))]
        yield {"prediction": spoken(tokens), "references": [spoken(reference) for reference in references]}


def ours(file, folder, tokenizer):
    command = ["cargo", "run", "-q", "--release", "-p", "metric-meteor", "--example", "score_meteor", "--"]
    command += ["meteor", json.dumps({"wordnet": folder, "tokenizer": tokenizer}), "1", file]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main(count=4000, seed=1):
    folder, nltk_data = wordnet()
    from nltk.corpus import wordnet as database
    from nltk.tokenize import word_tokenize
    from nltk.translate.meteor_score import meteor_score

    database.ensure_loaded()
    rows = list(examples(count, random.Random(seed), folder))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", delete=False) as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    pairs = sum(len(row["references"]) for row in rows)
    failed = False
    tokenizers = {"treebank": lambda text: word_tokenize(text, preserve_line=True), "whitespace": str.split}
    for name, tokenize in tokenizers.items():
        # Twice: the second time nltk has read all synsets that it needs, and its time is that of scoring alone.
        for _ in range(2):
            start = time.process_time()
            theirs = [meteor_score([tokenize(text) for text in row["references"]], tokenize(row["prediction"])) for row in rows]
            seconds = time.process_time() - start
        found = ours(out.name, folder, name)
        apart = max(abs(a - b) for a, b in zip(theirs, found["per_example"]["meteor"], strict=True))
        failed |= apart > 1e-9
        print(
            f"{count} examples, {pairs} pairs, {name}, one thread: nltk {seconds:.2f} s, ours {found['seconds']:.4f} s (best of 3), "
            f"{seconds / found['seconds']:.0f} times as fast; furthest apart {apart:.1e}"
        )
    os.remove(out.name)
    shutil.rmtree(nltk_data)
    if failed:
        sys.exit("some scores differ by more than 1e-9")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
