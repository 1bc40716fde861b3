"""BLEU and chrF of random texts beside sacrebleu, number by number, and speed side by side: sacrebleu [CORPORA [PAIRS [EVALUATE NMT]]]"""

# EVALUATE and NMT are checkouts as plugins/metric-bleu/goldens/generate.py wants them; with them `bleu` is compared too.

import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
import time

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF

ROOT = os.environ.get("BOMF_ROOT", ".")
CORPORA = int(sys.argv[1]) if len(sys.argv) > 1 else 400
PAIRS = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
TOLERANCE, SECONDS, SEED = 1e-9, 60.0, 1
BLEU_SCORES = {"sacrebleu": "score", "brevity_penalty": "bp", "length_ratio": "ratio", "translation_length": "sys_len", "reference_length": "ref_len"}


def ours(cases):
    command = ["cargo", "run", "-q", "--release", "-p", "metric-bleu", "--example", "score_bleu"]
    lines = "\n".join(map(json.dumps, cases))
    output = subprocess.run(command, cwd=ROOT, input=lines, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return [json.loads(line) for line in output.stdout.splitlines()]


def close(a, b):
    return abs(a - b) <= TOLERANCE * max(1.0, abs(a), abs(b))


def expect(found, wanted, what, case):
    if not close(found, wanted):
        raise SystemExit(f"{what}: found {found!r}, expected {wanted!r}\n{json.dumps(case)}")


def drawn(rng):
    """A corpus of texts over a small alphabet of hard pieces, or of any characters at all."""
    pieces = ["a", "b", "The", "the", "don't", "3", "10", ".", ",", "-", "--", "...", "!", "%", "$", "&quot;", "&amp;", "<skipped>", " ", " ", " ", " ",
              "\n", "-\n", "\t", "\x1c", "\x85", "\u2003", "é", "e\u0301", "Σ", "İ", "ß", "한국", "日本", "，", "。", "—", "½", "٣", "😀", "שלום", "क्षि", "»"]

    def text():
        if rng.random() < 0.05:
            return "".join(chr(c) for c in (rng.randrange(0x110000) for _ in range(rng.randint(0, 30))) if not 0xD800 <= c < 0xE000)
        return "".join(rng.choice(pieces) for _ in range(rng.randint(0, 40)))

    def related(base):
        return "".join(c for c in base if rng.random() < 0.9) if rng.random() < 0.6 else text()

    width = rng.randint(0, 9)
    predictions = [text() for _ in range(rng.randint(1, 30))]
    return predictions, [[related(p) for _ in range(width or rng.randint(1, 9))] for p in predictions]


def bleu_options(rng):
    options = {"tokenize": rng.choice(["13a", "intl", "char", "zh", "none"]), "smooth_method": rng.choice(["exp", "floor", "add-k", "none"])}
    options |= {"lowercase": rng.random() < 0.3, "effective_order": rng.random() < 0.3, "max_order": rng.choice([4, 4, 4, 1, 2, 3, 6])}
    if options["smooth_method"] in ("floor", "add-k") and rng.random() < 0.5:
        options["smooth_value"] = rng.choice([0.0, 0.01, 0.5, 1.0])
    return options


def chrf_options(rng):
    return {"char_order": rng.choice([6, 6, 4, 1]), "word_order": rng.choice([0, 1, 2]), "beta": rng.choice([1, 2, 3]),
            "lowercase": rng.random() < 0.3, "whitespace": rng.random() < 0.3, "eps_smoothing": rng.random() < 0.3}


def theirs(options):
    return BLEU(**{{"max_order": "max_ngram_order"}.get(key, key): value for key, value in options.items()}, force=True)


def streams(references):
    return [[row[i] if i < len(row) else None for row in references] for i in range(max(map(len, references)))]


def parts(signature):
    return [part for part in signature.split("|") if not part.startswith(("version:", "max_order:"))]


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parity():
    rng, cases, compared = random.Random(SEED), [], 0
    for _ in range(CORPORA):
        predictions, references = drawn(rng)
        corpus = {"predicted_text": predictions, "reference_text": references, "threads": rng.randint(1, 3)}
        cases += [{**corpus, "metric": metric, "options": options} for metric, options in (
            ("sacrebleu", bleu_options(rng)), ("sentence_bleu", bleu_options(rng)), ("chrf", chrf_options(rng)),
            ("bleu", {"smooth": rng.random() < 0.5, "max_order": rng.choice([4, 4, 2, 6])}))]
    checkouts = sys.argv[3:5]
    if checkouts:
        tokenizer = load(os.path.join(checkouts[0], "metrics/bleu/tokenizer_13a.py")).Tokenizer13a()
        compute_bleu = load(os.path.join(checkouts[1], "nmt/scripts/bleu.py")).compute_bleu
    for case, found in zip(cases, ours(cases), strict=True):
        predictions, references, options = case["predicted_text"], case["reference_text"], case["options"]
        what = f"{case['metric']} {options}"
        if case["metric"] == "sacrebleu":
            metric = theirs(options)
            score = metric.corpus_score(predictions, streams(references))
            for name, attribute in BLEU_SCORES.items():
                expect(found["scores"][name], getattr(score, attribute), f"{what}: {name}", case)
            for order, precision in enumerate(score.precisions[:4], 1):
                expect(found["scores"][f"precision_{order}"], precision, f"{what}: precision_{order}", case)
            if parts(found["signature"]) != parts(f"BLEU|{metric.get_signature()}"):
                raise SystemExit(f"{what}: found {found['signature']}, expected {metric.get_signature()}")
            compared += len(predictions)
        elif case["metric"] == "sentence_bleu":
            metric = theirs(options)
            for prediction, row, value in zip(predictions, references, found["per_example"]["sentence_bleu"], strict=True):
                expect(value, metric.sentence_score(prediction, row).score, what, {**case, "predicted_text": [prediction], "reference_text": [row]})
                compared += 1
        elif case["metric"] == "chrf":
            metric = CHRF(**options)
            expect(found["scores"]["chrf"], metric.corpus_score(predictions, streams(references)).score, what, case)
            compared += len(predictions)
        elif checkouts:
            predicted, wanted = [tokenizer(p) for p in predictions], [[tokenizer(r) for r in row] for row in references]
            if any(predicted) and "error" not in found:  # evaluate divides by zero without a token
                score, precisions, penalty, ratio, length, reference_length = compute_bleu(wanted, predicted, **options)
                names = {"bleu": score, "brevity_penalty": penalty, "length_ratio": ratio, "translation_length": length, "reference_length": reference_length}
                names |= {f"precision_{order}": value for order, value in enumerate(precisions[:4], 1)}
                for name, value in names.items():
                    expect(found["scores"][name], value, f"{what}: {name}", case)
                compared += len(predictions)
    print(f"sacrebleu {sacrebleu.__version__}: {compared} examples in {CORPORA} corpora equal to {TOLERANCE}, signatures too"
          + ("" if checkouts else "; `bleu` was not compared: no checkouts were given"))


def sentences(rng, rows, references):
    """Sentences of some 20 words in the frequencies of language, and references that share most of their words."""
    words = ["".join(rng.choice("etaoinshrdlucmfwyp") for _ in range(rng.randint(1, 9))) for _ in range(5000)]
    weights = [1 / rank for rank in range(1, 5001)]

    def sentence():
        return rng.choices(words, weights, k=rng.randint(12, 28))

    def text(words):
        return " ".join(words).capitalize().replace(" e ", ", ") + "."

    def changed(base):
        return [word if rng.random() < 0.7 else rng.choice(words) for word in base]

    bases = [sentence() for _ in range(rows)]
    return [text(base) for base in bases], [[text(changed(base)) for _ in range(references)] for base in bases]


def speed():
    predictions, references = sentences(random.Random(SEED), PAIRS, 5)
    for label, metric, options, width, tool in (
        ("corpus BLEU, 5 references", "sacrebleu", {}, 5, lambda: BLEU(force=True)),
        ("corpus BLEU, 1 reference", "sacrebleu", {}, 1, lambda: BLEU(force=True)),
        ("chrF, 1 reference", "chrf", {}, 1, lambda: CHRF()),
        ("chrF++, 1 reference", "chrf", {"word_order": 2}, 1, lambda: CHRF(word_order=2)),
    ):
        # As many pairs as the tool does in a minute: a hundredth of them says how many that is.
        rows = max(100, PAIRS // 100)
        while True:
            p, r = predictions[:rows], [row[:width] for row in references[:rows]]
            start = time.process_time()
            score = tool().corpus_score(p, streams(r)).score
            seconds = time.process_time() - start
            fitting = min(PAIRS, int(rows * SECONDS / seconds))
            if rows >= PAIRS or fitting < 1.5 * rows:
                break
            rows = fitting
        case = {"metric": metric, "options": options, "predicted_text": p, "reference_text": r}
        found = min(ours([case] * 3), key=lambda result: result["seconds"])
        expect(found["scores"][metric], score, label, {})
        print(f"{label}: {rows} pairs, sacrebleu {seconds:.2f} s, ours {found['seconds']:.3f} s, {seconds / found['seconds']:.0f} times as fast (CPU, one thread each)")


if __name__ == "__main__":
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    parity()
    speed()
