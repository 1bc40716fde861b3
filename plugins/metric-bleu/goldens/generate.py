"""Writes corpora.json, texts written for the purpose, and what two tools say about them: sacrebleu.json and evaluate.json.

    python3 -m venv venv && venv/bin/pip install sacrebleu==2.6.0
    venv/bin/python generate.py EVALUATE NMT

No package carries the code of evaluate's `bleu`: EVALUATE is a checkout of huggingface/evaluate at v0.4.6, whose metric folder
holds the tokenizer, and NMT one of tensorflow/nmt at 0be8642, whose `compute_bleu` that metric downloads. They are put together
as the metric does it.
"""

import importlib.util
import json
import os
import platform
import random
import sys

import regex
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF

SEED = 20240917
LONG = 50
HERE = os.path.dirname(os.path.abspath(__file__))


def drawn(rng, rows, references, words):
    """Sentences of few words, so that n-grams are in common, with points, commas, dashes and numbers between them."""

    def sentence():
        length = rng.randint(0, 14)
        return "".join(rng.choice(words) + rng.choice([" ", " ", " ", " ", ", ", ".", "-", " 3.5 ", "\n", "\t"]) for _ in range(length))

    return [(sentence(), [sentence() for _ in range(references or rng.randint(1, 9))]) for _ in range(rows)]


def corpora():
    rng = random.Random(SEED)
    words = ["the", "The", "cat", "sat", "on", "mat", "é", "ÉCOLE", "école", "日本", "7", "42", "it's", "x.y", "&amp;", "😀"]
    long = " ".join(rng.choice(words) for _ in range(60))
    return {
        "plain": [
            ("The quick brown fox jumps over the lazy dog.", ["A quick brown fox jumped over the lazy dog."]),
            ("It costs 1,234.50 dollars (or 7%).", ["It cost $1,234.50, or 7 %."]),
            ("He said: \"no\" - twice, at 10-12 o'clock.", ["She said “no”, twice, at 10 - 12 o'clock."]),
        ],
        "identical": [("A line that is the same as its reference.", ["A line that is the same as its reference."]), ("x y z w", ["x y z w"])],
        "disjoint": [("one two three four five", ["six seven eight nine ten"]), ("α β γ δ", ["а б в г д"])],
        "short": [("a", ["a"]), ("a b", ["a b"]), ("yes", ["no", "yes"])],
        "empty prediction": [("", ["something was said here"]), ("words of a second one", ["words of a second line"])],
        "only empty predictions": [("", ["something was said here"]), (" \t\n", ["and here"])],
        "empty reference": [("something was said here today", ["", "something was said here"]), ("more of it", ["more of it"])],
        "only punctuation": [("... !? ,;", ["...!?"]), ("-- -", ["—"]), (".,.,.", [".", ",."])],
        "only articles": [("the a an", ["a the"]), ("The", ["the"])],
        "emoji": [("good 👍🏽 day 👨‍👩‍👧", ["good 👍 day 👨‍👩‍👧!", "👍🏽"]), ("🇩🇪🇫🇷", ["🇩🇪 🇫🇷"])],
        "combining marks": [("cafe\u0301 nai\u0308ve e\u0301", ["café naïve é"]), ("क्षि नमस्ते दुनिया", ["नमस्ते दुनिया।"])],
        "right to left": [("שלום עולם, מה שלומך?", ["שלום עולם! מה נשמע?"]), ("مرحبا بالعالم ١٢٫٥", ["مرحبا يا عالم، ١٢٫٥؟"])],
        "korean": [("나는 오늘 학교에 갔다.", ["나는 오늘 학교에 갔습니다.", "오늘 나는 학교에 갔다."]), ("안녕하세요", ["안녕하세요!"])],
        "chinese": [("我今天去了学校，买了3.5个apples。", ["我今天去学校买了3.5个苹果。", "今天我去了学校。"]), ("Ａ—Ｂ、「好」𠀀", ["Ａ－Ｂ「好」𠀀"])],
        "newlines and tabs": [("a line\nand co-\nordinates\tof 3.\n", ["a line and coordinates of 3."]), ("end-\n", ["end- \n", "end"]), ("a\x1cb\x85c\u2028d\r\ne", ["a b c d e"])],
        "mark-up": [("&quot;R&amp;D&quot; &lt;b&gt; &amp;lt; a<skipped>b", ["\"R&D\" <b> &lt; ab"])],
        "points": [("a.,5 a...5 1..5 1...5 .5 5. 1.,.,x", ["a . ,5 1.5"]), ("...5 x,,5 5,, ,5 1,2.3,4-5-x--6", ["5 x 1,2.3 4-5"]), (".", [".."]), ("5.", ["5 ."]), ("½.¾ ٣.٤ x²,y", ["½ . ¾ x²"])],
        "case": [("THE CAT İS ΟΔΟΣ STRASSE ẞ ǅ", ["the cat i̇s οδος strasse ß ǆ"]), ("ΑΣ Σ ΑΣ.Σ", ["ας σ ας.ς"])],
        # Each of these is repeated LONG times.
        "very long": [(long, [long[: len(long) // 2] + " in the middle " + long[len(long) // 2 :], long[::-1]]), ("short ", ["shorter "])],
        "five references": drawn(rng, 30, 5, words),
        "one to nine references": drawn(rng, 40, 0, words),
        "one reference": drawn(rng, 40, 1, words),
        "words of one letter": drawn(rng, 40, 2, ["a", "b", "c", "."]),
    }


def transposed(references):
    """One stream per reference, with None where a row has fewer."""
    return [[row[i] if i < len(row) else None for row in references] for i in range(max(map(len, references)))]


def bleu_options():
    for tokenize in ("13a", "intl", "char", "zh", "none"):
        for options in ({}, {"lowercase": True}, {"effective_order": True}):
            yield {"tokenize": tokenize, **options}
    for method, value in (("none", None), ("floor", None), ("floor", 0.5), ("floor", 0.0), ("add-k", None), ("add-k", 0.25), ("add-k", 2.0)):
        for effective in (False, True):
            smooth = {"smooth_method": method, "effective_order": effective}
            yield smooth if value is None else {**smooth, "smooth_value": value}
    for order in (1, 2, 3, 6):
        yield {"max_order": order}


def chrf_options():
    yield {}
    yield {"word_order": 2}
    yield {"word_order": 2, "lowercase": True, "whitespace": True}
    yield {"word_order": 1, "eps_smoothing": True}
    yield {"eps_smoothing": True, "beta": 1}
    yield {"char_order": 3, "beta": 3}
    yield {"char_order": 0, "word_order": 2}
    yield {"char_order": 1, "beta": 0}


def bleu(options):
    return BLEU(**{{"max_order": "max_ngram_order"}.get(key, key): value for key, value in options.items()}, force=True)


def numbers(metric, scores):
    """Scores as numbers, in the order of the metric's `names`."""
    assert list(scores) == NAMES[metric][: len(scores)]
    return list(scores.values())


def with_precisions(scores, precisions):
    return scores | {f"precision_{order}": value for order, value in enumerate(precisions[:4], 1)}


NAMES = {
    metric: [metric, "brevity_penalty", "length_ratio", "translation_length", "reference_length", *(f"precision_{n}" for n in (1, 2, 3, 4))]
    for metric in ("sacrebleu", "bleu")
} | {"chrf": ["chrf"]}


def without_references(signature):
    return [part for part in str(signature).split("|") if not part.startswith(("nrefs:", "version:"))]


def sacrebleu_options():
    for options in bleu_options():
        yield "sacrebleu", options
        if "effective_order" not in options:
            yield "sentence_bleu", options
    for options in chrf_options():
        yield "chrf", options


def by_sacrebleu(metric, options, predictions, references):
    """The numbers, and the signature: each of its parts depends on the options alone, but for the number of references."""
    if metric == "sentence_bleu":
        tool = bleu({**options, "effective_order": True})
        return [tool.sentence_score(*pair).score for pair in zip(predictions, references)], None
    tool = CHRF(**options) if metric == "chrf" else bleu(options)
    found = tool.corpus_score(predictions, transposed(references))
    name = f"chrF{tool.beta}{'+' * tool.word_order}" if metric == "chrf" else "BLEU"
    signature = [name, *without_references(tool.get_signature())]
    if metric == "chrf":
        return numbers(metric, {"chrf": found.score}), signature
    scores = {"sacrebleu": found.score, "brevity_penalty": found.bp, "length_ratio": found.ratio}
    scores |= {"translation_length": found.sys_len, "reference_length": found.ref_len}
    return numbers(metric, with_precisions(scores, found.precisions)), signature


def load(path):
    spec = importlib.util.spec_from_file_location(os.path.basename(path)[:-3], path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EVALUATE_OPTIONS = [("bleu", options) for options in ({}, {"smooth": True}, {"max_order": 1}, {"max_order": 2}, {"max_order": 6}, {"max_order": 3, "smooth": True})]


def by_evaluate(tokenizer, compute_bleu):
    def score(metric, options, predictions, references):
        predicted = [tokenizer(text) for text in predictions]
        if not any(predicted):
            return None, None  # evaluate divides by zero
        wanted = [[tokenizer(text) for text in row] for row in references]
        score, precisions, penalty, ratio, length, reference_length = compute_bleu(wanted, predicted, **options)
        scores = {"bleu": score, "brevity_penalty": penalty, "length_ratio": ratio}
        scores |= {"translation_length": length, "reference_length": reference_length}
        return numbers(metric, with_precisions(scores, precisions)), None

    return score


def lines(values):
    return ",\n".join(json.dumps(value, ensure_ascii=False) for value in values)


def write(file, head, options, score):
    """Numbers by corpus, one list per metric and options, in their order."""
    signatures, results = {}, {}
    for name, rows in corpora().items():
        times = LONG if name == "very long" else 1
        predictions, references = [row[0] * times for row in rows], [[text * times for text in row[1]] for row in rows]
        for place, entry in enumerate(options):
            found, signature = score(*entry, predictions, references)
            assert signatures.setdefault(place, signature) == signature
            if found is not None:
                results.setdefault(name, []).append(found)
    head = {**head, "python": platform.python_version(), "command": "python generate.py EVALUATE NMT", "seed": SEED, "names": NAMES}
    entries = ({"metric": metric, "options": options} | ({"signature": signatures[i]} if signatures[i] else {}) for i, (metric, options) in enumerate(options))
    with open(os.path.join(HERE, file), "w", encoding="utf-8") as out:
        out.write(f'{json.dumps(head)[:-1]}, "options": [\n{lines(entries)}\n], "numbers": {{\n')
        out.write(",\n".join(f"{json.dumps(name)}: [\n{lines(found)}\n]" for name, found in results.items()) + "\n}}\n")


def write_corpora():
    texts = (
        f"{json.dumps(name)}: " + json.dumps({"times": LONG if name == "very long" else 1, "rows": rows}, ensure_ascii=False)
        for name, rows in corpora().items()
    )
    with open(os.path.join(HERE, "corpora.json"), "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(texts) + "\n}\n")


if __name__ == "__main__":
    evaluate, nmt = sys.argv[1:]
    write_corpora()
    write("sacrebleu.json", {"tool": "sacrebleu", "version": sacrebleu.__version__, "regex": regex.__version__}, list(sacrebleu_options()), by_sacrebleu)
    tokenizer = load(os.path.join(evaluate, "metrics/bleu/tokenizer_13a.py")).Tokenizer13a()
    compute_bleu = load(os.path.join(nmt, "nmt/scripts/bleu.py")).compute_bleu
    head = {"tool": "evaluate", "version": "0.4.6, with compute_bleu of tensorflow/nmt 0be8642"}
    write("evaluate.json", head, EVALUATE_OPTIONS, by_evaluate(tokenizer, compute_bleu))
