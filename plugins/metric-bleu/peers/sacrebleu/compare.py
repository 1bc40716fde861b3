"""BLEU and chrF of random texts, number by number beside sacrebleu, and how fast both are"""

import logging
import math
import os
import random
import sys

import sacrebleu
from sacrebleu.metrics import BLEU, CHRF

sys.path.insert(0, os.path.join(os.environ["BOMF_ROOT"], "tests/examples"))
import score_cases

BLEU_SCORES = {"sacrebleu": "score", "brevity_penalty": "bp", "length_ratio": "ratio", "translation_length": "sys_len", "reference_length": "ref_len"}


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


def by_evaluate(predictions, references, smooth, max_order):
    """`bleu` of evaluate: sacrebleu's tokens and counts, but its own smoothing, and the shortest reference's length."""
    # Tokenized first: sacrebleu itself cuts white space off the end before, evaluate does not.
    tokenize = BLEU(tokenize="13a").tokenizer
    predictions, references = [tokenize(text) for text in predictions], [[tokenize(text) for text in row] for row in references]
    score = BLEU(tokenize="none", smooth_method="none", max_ngram_order=max_order, force=True).corpus_score(predictions, streams(references))
    add = 1 if smooth else 0
    precisions = [(n + add) / (of + add) if of + add else 0.0 for n, of in zip(score.counts, score.totals)]
    length = sum(min(len(text.split()) for text in row) for row in references)
    penalty = 1.0 if score.sys_len > length else math.exp(1 - length / score.sys_len)
    mean = math.exp(sum(map(math.log, precisions)) / max_order) if min(precisions) > 0 else 0.0
    names = {"bleu": mean * penalty, "brevity_penalty": penalty, "length_ratio": score.sys_len / length}
    names |= {"translation_length": score.sys_len, "reference_length": length}
    return names | {f"precision_{order}": value for order, value in enumerate(precisions[:4], 1)}


def compare(case, found):
    """Expects the tool's numbers; returns how many texts were compared."""
    (predictions, references), options = case["columns"].values(), case["options"]
    what = f"{case['metric']} {options}"
    if case["metric"] == "sacrebleu":
        metric = theirs(options)
        score = metric.corpus_score(predictions, streams(references))
        wanted = {name: getattr(score, attribute) for name, attribute in BLEU_SCORES.items()}
        wanted |= {f"precision_{order}": precision for order, precision in enumerate(score.precisions[:4], 1)}
        if parts(found["signature"]) != parts(f"BLEU|{metric.get_signature()}"):
            raise SystemExit(f"{what}: found {found['signature']}, expected {metric.get_signature()}")
    elif case["metric"] == "chrf":
        wanted = {"chrf": CHRF(**options).corpus_score(predictions, streams(references)).score}
    elif case["metric"] == "bleu":
        if "error" in found:  # evaluate divides by zero without a token, and so do the lines above
            return 0
        wanted = by_evaluate(predictions, references, **options)
    else:
        metric, wanted = theirs(options), {}
        for prediction, row, value in zip(predictions, references, found["per_example"]["sentence_bleu"], strict=True):
            score_cases.expect(value, metric.sentence_score(prediction, row).score, what, [prediction, row])
    for name, value in wanted.items():
        score_cases.expect(found["scores"].get(name), value, f"{what}: {name}", case)
    return len(predictions)


def parity(corpora, seed):
    rng, cases = random.Random(seed), []
    for _ in range(corpora):
        corpus = {"columns": score_cases.columns(*drawn(rng)), "threads": rng.randint(1, 3)}
        cases += [{**corpus, "metric": metric, "options": options} for metric, options in (
            ("sacrebleu", bleu_options(rng)), ("sentence_bleu", bleu_options(rng)), ("chrf", chrf_options(rng)),
            ("bleu", {"smooth": rng.random() < 0.5, "max_order": rng.choice([4, 4, 2, 6])}))]
    compared = sum(map(compare, cases, score_cases.ours("metric-bleu", cases)))
    print(f"sacrebleu {sacrebleu.__version__}: {compared:,} examples in {len(cases):,} corpora equal to {score_cases.TOLERANCE}, signatures too")


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


def speed(pairs, seed):
    predictions, references = sentences(random.Random(seed), pairs, 5)
    for label, metric, options, width, tool in (
        ("corpus BLEU, 5 references", "sacrebleu", {}, 5, lambda: BLEU(force=True)),
        ("corpus BLEU, 1 reference", "sacrebleu", {}, 1, lambda: BLEU(force=True)),
        ("chrF, 1 reference", "chrf", {}, 1, lambda: CHRF()),
        ("chrF++, 1 reference", "chrf", {"word_order": 2}, 1, lambda: CHRF(word_order=2)),
    ):
        columns = score_cases.columns(predictions, [row[:width] for row in references])
        case = {"metric": metric, "options": options, "columns": columns}

        def score(columns, tool=tool):
            predictions, references = columns.values()
            return tool().corpus_score(predictions, streams(references)).score, None

        score_cases.speed(label, "metric-bleu", case, "sacrebleu", score)


if __name__ == "__main__":
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    # Four corpora of some 15 examples are drawn at a time.
    arguments = score_cases.arguments(__doc__, 24_000)
    parity(arguments.examples // 60, arguments.seed)
    if arguments.pairs:
        speed(arguments.pairs, arguments.seed)
