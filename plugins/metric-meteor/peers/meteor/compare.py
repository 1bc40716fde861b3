"""METEOR of thousands of random examples, side by side with nltk, and how fast both are"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

import nltk

sys.path.insert(0, os.path.join(os.environ["BOMF_ROOT"], "tests/examples"))
import score_cases as cases

PARTS = ["noun", "verb", "adj", "adv"]
ODD = ["é", "İ", "안녕", "😀", "...", "it's", "don't", "cannot", '"quoted"', "'tis", "3.5", "1,000", "\n", "\t", "שלום", "x_y", "", "--", "(so)", "U.S.", "gonna"]


def asset(name):
    """The asset's folder; fetched if it is not there."""
    subprocess.run([cases.BOMF, "assets", "fetch", name], check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([cases.BOMF, "assets", "path", name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def nltk_data(wordnet, punkt):
    """The same files where nltk looks for them, with its line ends, beside three that it wants to see."""
    folder = tempfile.mkdtemp()
    shutil.copytree(punkt, os.path.join(folder, "tokenizers", "punkt_tab", "english"))
    copy = os.path.join(folder, "corpora", "wordnet")
    os.makedirs(copy)
    for name in os.listdir(wordnet):
        with open(os.path.join(wordnet, name), "rb") as file, open(os.path.join(copy, name), "wb") as out:
            out.write(file.read().replace(b"\r", b""))
    for name, lines in {"lexnames": (f"{i:02d}\tfile{i}\t1\n" for i in range(45)), "index.sense": [], "cntlist.rev": []}.items():
        with open(os.path.join(copy, name), "w") as out:
            out.writelines(lines)
    nltk.data.path[:] = [folder]
    return folder


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
        yield spoken(tokens), [spoken(reference) for reference in references]


def main():
    arguments = cases.arguments(__doc__, 8000)
    folder, punkt = asset("wordnet"), asset("punkt")
    data = nltk_data(folder, punkt)
    from nltk.corpus import wordnet as database
    from nltk.tokenize import word_tokenize
    from nltk.translate.meteor_score import meteor_score

    database.ensure_loaded()
    predictions, references = zip(*examples(max(arguments.examples, arguments.pairs), random.Random(arguments.seed), folder))
    timed = cases.columns(predictions, [row[:1] for row in references])
    few = cases.columns(predictions[: arguments.examples], references[: arguments.examples])
    tokenizers = {"treebank": lambda text: word_tokenize(text, preserve_line=True), "punkt": word_tokenize, "whitespace": str.split}
    for name, tokenize in tokenizers.items():

        def score(prediction, texts):
            return meteor_score([tokenize(text) for text in texts], tokenize(prediction))

        case = {"metric": "meteor", "options": {"wordnet": folder, "punkt": punkt, "tokenizer": name}}
        [found] = cases.ours("metric-meteor", [{**case, "columns": few, "threads": 2}])
        for value, prediction, texts in zip(found["per_example"]["meteor"], *few.values(), strict=True):
            cases.expect(value, score(prediction, texts), f"METEOR, {name}", [prediction, texts])
        print(f"{arguments.examples:,} examples with 1 to 9 references, {name}: equal to {cases.TOLERANCE}")

        def theirs(columns):
            # Twice: the second time nltk has read all synsets that it needs, and its time is that of scoring alone.
            for _ in range(2):
                start = time.process_time()
                scores = [score(prediction, texts) for prediction, texts in zip(*columns.values())]
                seconds = time.process_time() - start
            return sum(scores) / len(scores), seconds

        if arguments.pairs:
            case["columns"] = timed
            cases.speed(f"METEOR, {name}", "metric-meteor", case, "nltk", theirs)
    shutil.rmtree(data)


if __name__ == "__main__":
    main()
