"""Writes nltk.json: what nltk's Porter stemmer makes of words.

    python3 -m venv venv && venv/bin/pip install nltk==3.10.4
    venv/bin/python generate.py > nltk.json
"""

import json
import platform
import random

import nltk
from nltk.stem import PorterStemmer

SEED = 20250311

# All suffixes that a rule looks at, behind stems of every shape, and random words beside them.
SUFFIXES = """s es ies sses ss ied eed ed ing ated bled ized y ational tional enci anci izer bli abli alli entli eli ousli
ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al
ance ence er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize e ll lle ely ably ally fully
ologies ologically ying yed ally alally""".split()
STEMS = """a b e y by ab ay ya sk sky tr fl cr die ly wh oa hop hopp fall hiss fizz fil fail tann siz plast motor rel val
dig conform radic differ vil analog vietnam predic oper feud decis hope call form sensit triplic electr good reviv allow
infer airlin gyroscop adjust defens irrit replac depend adopt homolog commun activ angular effect bowdler prob cease
controll roll geo theo archaeo philo yy syzyg xyz 19 3rd m4n eee iou aeiou bcdf w x ow ox""".split()
ODD = """sky skies dying lying tying news innings inning outings outing cannings canning howe proceed exceed succeed
a*ded a*ding x*d *d o*d --ed a--ed 'sed été années ñandúes naïvely straßes ééed aééing übüüed əəing ыыing 日本ing
don't isn't it's u.s. 3,000s .. ''ed e-mailed e-mails yyyyy yyyyying flies ties spies spied died tied""".split()

if __name__ == "__main__":
    draw = random.Random(SEED)
    words = set(ODD) | {stem + suffix for stem in STEMS for suffix in SUFFIXES}
    for _ in range(1500):
        word = "".join(draw.choice("aeiouybcdlmnrstz") for _ in range(draw.randint(1, 7)))
        words.add(word + draw.choice(SUFFIXES))
    stemmer = PorterStemmer()
    print(json.dumps({
        "tool": "nltk.stem.PorterStemmer",
        "version": nltk.__version__,
        "python": platform.python_version(),
        "command": "python generate.py > nltk.json",
        "seed": SEED,
        "stems": {word: stemmer.stem(word) for word in sorted(words)},
    }, ensure_ascii=False, indent=0))
