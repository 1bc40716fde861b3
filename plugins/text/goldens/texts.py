"""Predictions and references written for comparing metrics of texts: whatever may be odd about a text."""

import random

SEED = 20250312

WORDS = """the a an of to in is was it that he she they walk walks walking walked house houses housing run running runs happy
happiness happily relate relational relation film movie actor actors acted good better best not very quick quickly fox
jumps jumping over lazy dog dogs u.s. 3 19 2024 don't it's well-known news skies dying general generally generalization"""


def drawn(draw, longest, vocabulary=WORDS.split()):
    """Some words, with punctuation and line ends between them."""
    words = (draw.choice(vocabulary) + draw.choice(["", "", "", "", ",", ".", "\n", ".\n", " -"]) for _ in range(draw.randint(0, longest)))
    return " ".join(words)


WRITTEN = {
    "identical": ("The cat sat on the mat.", ["The cat sat on the mat."]),
    "disjoint": ("The cat sat on the mat.", ["Dogs bark loudly every night"]),
    "case and punctuation alone differ": ("HELLO, world! (Hello)", ["hello world hello"]),
    "both empty": ("", [""]),
    "empty prediction": ("", ["The cat sat."]),
    "empty reference": ("The cat sat.", [""]),
    "empty reference among others": ("The cat sat.", ["", "The cat.", ""]),
    "only spaces": ("   ", ["The cat sat."]),
    "only punctuation": ("... !!! ?", ["--- ;;; ..."]),
    "punctuation beside words": ("...", ["The cat sat."]),
    "only articles": ("the a an", ["a the an"]),
    "one word": ("cat", ["cat"]),
    "one wrong word": ("cat", ["dog"]),
    "one word in two": ("cat", ["cat cat"]),
    "repeated words": ("the the the the the", ["the cat the"]),
    "repeated words in the reference": ("the cat", ["the the the cat cat"]),
    "turned around": ("mat the on sat cat the", ["the cat sat on the mat"]),
    "numbers": ("In 2024, 3.5% of 1,000 people", ["In 2024 3.5 % of 1000 people"]),
    "contractions": ("I can't, won't and don't; it's Tom's dogs' bone. Cannot we'll they've I'd I'm gonna", ["I cannot, will not and do not: it is Tom's dog's bone. Can not we will they have I would I am going to"]),
    "quotes": ("\"Yes,\" he said, 'no' — ``maybe'' and “perhaps” or «never».", ["'Yes', he said; \"no\" - 'maybe' and 'perhaps' or 'never'."]),
    "brackets and signs": ("[a] (b) {c} <d> #e @f $5 50% &amp; g/h i--j k...l m*n", ["a b c d e f 5 50 amp g h i j k l m n"]),
    "abbreviations": ("Mr. Smith of the U.S. went to N.Y. at 5 p.m. He left at 6 p.m.", ["Mr Smith from the US went to NY at 5 pm. He left at 6 pm."]),
    "emoji": ("I love it 😍😍 so much 👍🏽", ["I love it so much 👍"]),
    "only emoji": ("😀😀", ["😀"]),
    "emoji with joiners": ("👨‍👩‍👧 family 🇰🇷", ["family 👨‍👩‍👧"]),
    "composed and combining marks": ("café naïve résumé", ["cafe\u0301 nai\u0308ve re\u0301sume\u0301"]),
    "marks and none": ("Über die Brücke", ["Uber die Brucke"]),
    "stacked combining marks": ("z\u0335\u0321\u031aalgo te\u0301\u0302\u0303xt", ["zalgo text"]),
    "letters that become latin": ("273 \u212A and \u0130stanbul", ["273 k and istanbul"]),
    "sharp s and final sigma": ("STRASSE Straße ΣΑΣ ὈΔΥΣΣΕΎΣ", ["strasse straße σας ὀδυσσεύς"]),
    "full width letters": ("ＡＢＣ １２３", ["ABC 123"]),
    "arabic": ("القط جلس على الحصيرة", ["جلس القط على الحصيرة"]),
    "hebrew beside latin": ("the word שלום means peace", ["שלום means peace or hello"]),
    "marks of direction": ("\u202bcat sat\u202c \u200fmat", ["cat sat mat"]),
    "korean": ("고양이가 매트 위에 앉았다", ["고양이가 매트에 앉아 있었다"]),
    "korean in parts": ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["한글"]),
    "japanese": ("猫がマットの上に座った。", ["猫はマットに座っていた。"]),
    "chinese": ("猫坐在垫子上", ["那只猫坐在垫子上"]),
    "thai": ("แมวนั่งบนเสื่อ", ["แมวนั่งอยู่บนเสื่อ"]),
    "cyrillic": ("Кошка сидела на коврике", ["На коврике сидела кошка"]),
    "hindi": ("बिल्ली चटाई पर बैठी", ["बिल्ली चटाई पर बैठी थी"]),
    "tabs": ("the\tcat\t\tsat", ["the cat sat"]),
    "line ends": ("the cat sat\non the mat", ["on the mat\nthe cat sat"]),
    "empty lines": ("\n\nthe cat\n\n\nsat\n", ["the cat sat\n"]),
    "carriage returns": ("the cat\r\nsat on\rthe mat", ["the cat\nsat on\nthe mat"]),
    "other line ends": ("the cat\u2028sat\u0085on\u000bthe\u000cmat", ["the cat\nsat on\nthe mat"]),
    "spaces that are none": ("the\u00a0cat\u2003sat\u200bon", ["the cat sat on"]),
    "control characters": ("the\u0000cat\u0007 sat\u001fon", ["the cat sat on"]),
    "lines in another order": ("c d e\na b c\nx y", ["a b c d e\nx z y\na a b"]),
    "the same words in many lines": ("a b\na b\na b\na b", ["a b a b\nb a\na"]),
    "lines of punctuation": ("a b\n...\nc d", ["...\na d\nb c"]),
    "many choices of a longest common subsequence": ("a b c a b b a\nb a c a b c", ["c b a b a c\na c b b a b\nb c a c b a"]),
    "underscores and hyphens": ("snake_case well-known re-enter", ["snake case well known reenter"]),
    "words with suffixes": ("walks walked walking generalizations happily skies dying news", ["walk walker generalize happy sky die new"]),
    "synonyms": ("The automobile sped through the big town", ["The car raced across the large city"]),
    "synonyms and forms": ("Children bought new cars quickly", ["A child purchases automobiles rapidly"]),
    "irregular forms": ("The mice ate better geese and oxen ran", ["A mouse eats good goose while an ox runs"]),
    "proper nouns": ("Paris is the capital of France", ["The City of Light is the French capital"]),
    "two references": ("the cat sat", ["a dog ran", "the cat sat down"]),
    "three references of equal worth": ("a b c d", ["a b x y", "c d x y", "a d x y"]),
    "best reference differs by score": ("a b c d e f", ["f e d c b a", "a b c x x x x", "b d f\na c e"]),
    "nine references": ("the quick brown fox", [f"the {w} fox {'jumps ' * i}" for i, w in enumerate("slow quick brown red blue old new big small".split())]),
}


def pairs():
    """All of them: name, prediction, references."""
    draw = random.Random(SEED)
    found = [(name, predicted, references) for name, (predicted, references) in WRITTEN.items()]
    for index in range(60):
        references = [drawn(draw, 25) for _ in range(draw.randint(1, 9))]
        predicted = drawn(draw, 25)
        if index % 3 == 0:
            predicted = references[0].replace("walk", "run", 1)[: draw.randint(1, 200)]
        found.append((f"drawn {index}", predicted, references))
    few = WORDS.split()[:9]
    for longest in (200, 400):
        found.append((f"up to {longest} words", drawn(draw, longest) + " walk" * 130, [drawn(draw, longest) + " walk house" * 70]))
        found.append((f"up to {longest} of few words", drawn(draw, longest, few), [drawn(draw, longest, few), drawn(draw, longest, few)]))
    found.append(("a word of 5,000 letters", "ab" * 2500, ["ab" * 2500, "ba" * 2500]))
    return found
