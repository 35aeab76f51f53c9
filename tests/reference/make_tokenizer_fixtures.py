#!/usr/bin/env python3
"""Writes the fixtures of the tokenizer tests with the reference, the `tokenizers` library.

usage: make_tokenizer_fixtures.py 20B_tokenizer.json OUTPUT_DIR

Writes into OUTPUT_DIR (tests/reference/tokenizer):
  small.json     a tokenizer of the same form as the real one, trained here
  probe.json     a tokenizer that shows the class of a character: a, 1, ! and TAB merge with any
                 first byte that stands in the same word; no normalizer
  texts.txt      a text per line
  20B.txt, small.txt, probe.txt    per line what that tokenizer makes of the text in the same line:
                 ids TAB ids without special tokens TAB decoded text
                 where the second is empty if equal to the first, the third if equal to the text
  20B.decode.txt, small.decode.txt   lists of ids: ids TAB text TAB text without special tokens

Ids are decimal, "7*3" is "7 7 7". Long lists and all decoded texts of the first kind are given as
"#COUNT HASH", the FNV-1a hash of the ids as 4 little-endian bytes each, or of the bytes.
In a text, \\xHH is a byte, \\u{HEX} a character, \\r{N:UNIT} a repetition and
\\s{FIRST-LAST:PRE:POST} every character of a range with PRE and POST around it; \\ { } : are always
written \\xHH.
"""

import json
import random
import sys
import unicodedata

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors, trainers

# Characters around which the reference's Unicode versions (9.0 for normalization, 16.0 for letters,
# numbers and spaces) differ from those of other libraries.
YOUNG_MARKS = [
    0x7FD, 0x898, 0x8CA, 0x8D3, 0x9FE, 0xC3C, 0xD3B, 0xEBA, 0x1715, 0x1ABF, 0x1ACE, 0x1DF6, 0x1DFA,
    0xA82C, 0x10D24, 0x10EAB, 0x10EFD, 0x10F46, 0x10F82, 0x11070, 0x1133B, 0x1145E, 0x11839,
    0x1193D, 0x119E0, 0x11A34, 0x11A47, 0x11D42, 0x11F41, 0x16FF0, 0x1E08F, 0x1E130, 0x1E2AE,
    0x1E2EC, 0x1E4EC, 0x1E5EE, 0x897, 0x10D69, 0x113CE, 0x1612F,
]
YOUNG_PAIRS = [
    (0x11935, 0x11930), (0x105D2, 0x307), (0x105DA, 0x307), (0x11382, 0x113C9), (0x11384, 0x113BB),
    (0x1138B, 0x113C2), (0x113C2, 0x113C2), (0x1611E, 0x1611E), (0x16121, 0x1611F),
    (0x16D67, 0x16D67), (0x16D63, 0x16D67),
]
YOUNG = [
    0x1C89, 0x1C8A, 0xA7CB, 0xA7DC, 0x105C0, 0x105C9, 0x10D40, 0x10D4A, 0x11380, 0x11938, 0x116D0,
    0x11BC0, 0x11BF0, 0x11F02, 0x11F50, 0x1342F, 0x13460, 0x16100, 0x16121, 0x16130, 0x16D40,
    0x16D70, 0x18CFF, 0x1B132, 0x1CCF0, 0x1D2C0, 0x1DF25, 0x1E030, 0x1E4D0, 0x1E4F0, 0x1E5D0,
    0x1E5F1, 0x2B739, 0x2EBF0, 0x31350, 0x323AF,
]
SPACES = [
    0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20, 0x85, 0xA0, 0x1680, 0x2000, 0x2003, 0x2007, 0x200A, 0x2028,
    0x2029, 0x202F, 0x205F, 0x3000,
]
NEARLY_SPACES = [
    0x00, 0x08, 0x1C, 0x1D, 0x1E, 0x1F, 0x7F, 0x180E, 0x200B, 0x200D, 0x2060, 0x2800, 0x3164,
    0xFEFF,
]
SPECIAL = ["<|endoftext|>", "<|padding|>"]

SENTENCES = """The quick brown fox jumps over the lazy dog, and 27 other foxes don't mind at all.
It wasn't what we'd expected; they'll say so, I'm sure, and you've heard it before: she's right.
In 1969, Apollo 11's crew travelled 384,400 km (238,855 miles) at up to 39,897 km/h.
"What's that?" he asked. "Nothing," she said -- "nothing at all..."
Send it to someone@example.org or see https://example.org/a/b.html?q=1&r=%20#top.
Voix ambiguë d’un cœur qui, au zéphyr, préfère les jattes de kiwis. L'été, c'est déjà fini !
Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich; „Straße“, ÄÖÜ.
El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío; ¿añoraba a su niña?
Pchnąć w tę łódź jeża lub ośm skrzyń fig. Zażółć gęślą jaźń.
Příliš žluťoučký kůň úpěl ďábelské ódy.
Árvíztűrő tükörfúrógép. Fişekçi Şükrü, ığdır'da pijamalı hasta yağız şoföre çabucak güvendi.
Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак і ґава: щодня 5 разів.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Ἀρχιμήδης· ᾧ ὥρᾳ τὸ φῶς.
דג סקרן שט בים מאוכזב ולפתע מצא חברה. שָׁלוֹם עֲלֵיכֶם
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر. السَّلَامُ عَلَيْكُمْ ٠١٢٣
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश। क़ख़ग़ज़ड़ढ़फ़ १२३
আমি বাংলায় গান গাই। ড়ঢ়য় কো কৌ
தமிழ் மொழி அழகானது. கொ கோ கௌ
తెలుగు లిపి. ಕನ್ನಡ ಲಿಪಿ. മലയാളം ലിപി. සිංහල අකුරු.
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า ๑๒๓ ກິນເຂົ້າ ສະບາຍດີ
မြန်မာစာ ဦး ភាសាខ្មែរ བོད་སྐད། གྷ ཱི
いろはにほへと ちりぬるを。カタカナ ガギグゲゴ パピプペポ、半角ｶﾞｷﾞ。
天地玄黃 宇宙洪荒。我能吞下玻璃而不伤身体。豈更車 﨑
키스의 고유조건은 입술끼리 만나야 하고 특별한 기술은 필요치 않다. 한글
Ὦ ξεῖν’, ἀγγέλλειν Λακεδαιμονίοις ὅτι τῇδε κείμεθα. Å Å Ω Ω K K
Tiếng Việt: Đường đi khó, không khó vì ngăn sông cách núi. ừ ữ ự ờ ở
ქართული ენა, Հայերեն լեզու, አማርኛ ፊደል ᎣᏏᏲ ᐃᓄᒃᑎᑐᑦ ᚠᚢᚦ ⵜⴰⵎⴰⵣⵉⵖⵜ
𝒜𝓫𝔠 𝟙𝟚𝟛 𐍈 𐐷 𝄞 𒀀 𓀀 ½ ⅓ ² ³ ⅷ Ⅻ ① ⑳ ㊿ 〇 一二三 ௧௨௩
👩‍👩‍👧‍👦 👍🏽 🇩🇪🇫🇷 ☺️ ❤️‍🔥 🏴󠁧󠁢󠁥󠁮󠁧󠁿 1️⃣ #️⃣ 🧑🏻‍🤝‍🧑🏿""".split("\n")

CODE = '''#include <stdio.h>
int main(int argc, char **argv) {
    for (size_t i = 0; i < (size_t)argc; i++) {
        printf("%zu: %s\\n", i, argv[i]); /* a comment */
    }
\treturn argc > 1 ? 0 : -1;
}
def f(x, *args, **kwargs):
    """Doc."""
    if x is None or not isinstance(x, (int, float)):
        raise TypeError(f"bad {x!r}")
    return [y ** 2 for y in range(10) if y % 2 == 0]
SELECT a.id, COUNT(*) FROM t AS a WHERE a.x <> 'y' GROUP BY 1;
<div class="a b" id='c'>&nbsp;<!-- x --></div>
{"key": [1, 2.5e-10, null, true], "s": "\\u00e9"}
x = y+z;  // TODO? a<<=2 >>= 3 && b || !c
$ ls -la | grep '^d' > out.txt 2>&1
\\begin{align} \\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2} \\end{align}
                    if deep:
                            pass'''.split("\n")


def escape(text):
    """Writes a text in the notation of the fixtures."""
    out = []
    for c in text:
        if c in "\\{}:" or ord(c) < 0x20 or ord(c) == 0x7F:
            out.append(f"\\x{ord(c):02X}")
        elif (
            ord(c) < 0x7F or unicodedata.category(c)[0] in "LNP" or unicodedata.category(c) == "So"
        ):
            out.append(c)
        else:
            out.append(f"\\u{{{ord(c):X}}}")
    return "".join(out)


class Texts:
    """The texts of the fixtures with the notation that each is written in."""

    def __init__(self):
        self.plain = []
        self.notation = []

    def add(self, *texts):
        for text in texts:
            self.plain.append(text)
            self.notation.append(escape(text))

    def add_repeat(self, before, unit, n, after=""):
        self.plain.append(before + unit * n + after)
        self.notation.append(f"{escape(before)}\\r{{{n}:{escape(unit)}}}{escape(after)}")

    def add_sweep(self, ranges, before, after):
        self.plain.append(
            "".join(before + chr(c) + after for a, b in ranges for c in range(a, b + 1))
        )
        self.notation.append(
            "".join(f"\\s{{{a:X}-{b:X}:{escape(before)}:{escape(after)}}}" for a, b in ranges)
        )


def assigned(c):
    return unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")


def ranges_of(characters):
    ranges = []
    for c in characters:
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def chunks(items, n):
    return [items[i : i + n] for i in range(0, len(items), n)]


def collect_texts():
    rng = random.Random(20)
    texts = Texts()
    texts.add(
        "",
        "Hello world",
        "a  b",
        "a\n\nb",
        "\r\n",
        "x\u00a0\u00a0y",
        "e\u0301",
        "\u212b",
        "\u1100\u1161",
        "\u0958",
        "e<|endoftext|>\u0301",
        "DON'T",
        " 's",
        "x²",
        "\u0661\u0662",
        "\U0001f600",
        "\0",
    )
    texts.add(*SENTENCES, *CODE, "\n".join(CODE), "\n".join(SENTENCES[:5]))
    texts.add(*(f" {word}" for s in SENTENCES for word in s.split()))
    texts.add(*(word for s in CODE for word in s.split(" ")))

    # Contractions.
    for c in [
        "'s",
        "'t",
        "'re",
        "'ve",
        "'m",
        "'ll",
        "'d",
        "'S",
        "'RE",
        "'Ll",
        "'lL",
        "'x",
        "’s",
        "'",
        "''s",
        "'re's",
    ]:
        texts.add(
            c,
            "we" + c,
            "we " + c,
            "1" + c,
            "we" + c + "x",
            "!" + c,
            "\u0301" + c,
            c + c,
            " " + c + " ",
        )

    # Spaces of every kind, and what looks like one.
    for a in SPACES + NEARLY_SPACES:
        texts.add(chr(a), chr(a) * 3, "x" + chr(a), "x" + chr(a) * 2 + "1", chr(a) * 2 + "!\u0301")
        for b in SPACES + NEARLY_SPACES:
            texts.add("a" + chr(a) + chr(b) + "b" + chr(b) + " " + chr(a))
    for n in range(1, 601):
        texts.add_repeat("", " ", n)
        texts.add_repeat("a", " ", n, "b" if n % 2 else "\n")
    for n in (2, 3, 24, 25, 100):
        for s in ("\t", "\n", "\r\n", "\u00a0", "\u3000", "\t ", " \n"):
            texts.add_repeat("a", s, n, "b")
            texts.add_repeat(" ", s, n)

    # Canonical decompositions, composed and not, and with further marks.
    decomposable = [
        chr(c) for c in range(0x110000) if unicodedata.decomposition(chr(c))[:1] not in ("", "<")
    ]
    for part in chunks(decomposable, 12):
        texts.add(
            "x".join(part),
            "x".join(unicodedata.normalize("NFD", c) for c in part),
            "\u0323".join(part) + "\u0345\u0301",
        )
    marks = [chr(c) for c in range(0x110000) if unicodedata.combining(chr(c))]
    rng.shuffle(marks)
    for part in chunks(marks, 10):
        texts.add("e" + "".join(part), "".join(part) + "\u0301", "\u0301a".join(part))
    for n in (2, 31, 32, 33, 100, 500):
        texts.add("a" + "".join(rng.choice(marks) for _ in range(n)) + "b")
        texts.add_repeat("e", "\u0301\u0323", n)
        texts.add_repeat("", "\u0323\u0301\u0334", n, "x")
        texts.add_repeat("x", "\u0344", n)
        texts.add_repeat("", "\u1100\u1161\u11a8", n)
    for i in range(150):
        l, v, t = (
            rng.randrange(0x10FE, 0x1114),
            rng.randrange(0x1160, 0x1177),
            rng.randrange(0x11A5, 0x11C4),
        )
        texts.add(
            "".join(map(chr, (l, v, t))),
            chr(0xAC00 + 28 * rng.randrange(399)) + chr(t),
            chr(0xAC00 + rng.randrange(11172)) + chr(v) + chr(t) + chr(l),
        )
    for c in YOUNG_MARKS:
        texts.add("e\u0345" + chr(c) + "\u0334x", "\u0301" + chr(c) + "\u0327" + chr(c) + "\u0323")
    for a, b in YOUNG_PAIRS:
        texts.add(
            chr(a) + chr(b),
            chr(a) + "\u0334" + chr(b) + "\u0301",
            "e\u0301" + chr(a) + "\u0327\u0334" + chr(b),
        )
    for c in YOUNG + YOUNG_MARKS:
        texts.add("a" + chr(c) + "1" + chr(c) + "!" + chr(c) + "\u0301 " + chr(c) * 2)

    # Scripts: words from every stretch of letters; numbers of every kind.
    for first in range(0x80, 0x32400, 0x80):
        block = [chr(c) for c in range(first, first + 0x80) if assigned(c)]
        if len(block) > 8 and (
            first < 0x3400
            or first >= 0xA000
            and not 0xAC80 <= first < 0xD700
            and first < 0x17000
            or rng.random() < 0.02
            or 0x18B00 < first < 0x20000
        ):
            words = ["".join(rng.choices(block, k=rng.randint(1, 7))) for _ in range(4)]
            texts.add(rng.choice([" ", "", "\n"]) + " ".join(words))
    numbers = [chr(c) for c in range(0x80, 0x20000) if unicodedata.category(chr(c))[0] == "N"]
    for part in chunks(numbers, 25):
        texts.add("".join(part), "a".join(part[::2]) + " " + " ".join(part[1::2]))
    texts.add(
        "0",
        "007",
        "3.14159",
        "1,000,000",
        "1e-5",
        "x2y3",
        "²³¹",
        "Ⅷth",
        "①②",
        "1\u0661\u00b2\u2167",
    )

    # Added tokens in the text.
    for s in SPECIAL:
        texts.add(
            s,
            s * 3,
            " " + s,
            s + " ",
            s + "\u0301",
            "e" + s + "\u0301",
            s[:-1],
            s[1:],
            "<" + s,
            s + ">",
            "  " + s + "  ",
            "a" + s + "b",
            "é" + s + "é",
            "e\u0301" + s + "\u1161",
            s.upper(),
            s.replace("|", "\u0301|"),
            "\u1100" + s + "\u1161",
            s[:5] + s,
            s + "\n\n" + s,
            "<|" * 9 + s,
        )
    for n in (1, 2, 23, 24, 25, 26, 47, 48, 49, 50, 72, 73):
        texts.add_repeat("\u0301", " ", n, "\u0301")
        texts.add_repeat("<|endoftext|>", " ", n, "<|padding|>")
        texts.add_repeat("\u00a0", " ", n, "\u00a0")

    # Controls, emoji, anything.
    for c in list(range(0, 0x20)) + list(range(0x7F, 0xA0)):
        texts.add("a" + chr(c) + "b " + chr(c) + chr(c))
    emoji = [
        "\U0001f468",
        "\u200d",
        "\U0001f469",
        "\U0001f3fd",
        "\ufe0f",
        "\u2764",
        "\U0001f1e9",
        "\u20e3",
        "7",
    ]
    for _ in range(60):
        texts.add("".join(rng.choices(emoji, k=rng.randint(1, 9))))
    pools = [
        list(map(chr, range(0x80))),
        decomposable,
        marks,
        list(map(chr, range(0x20, 0x600))),
        list(map(chr, SPACES + NEARLY_SPACES)),
        list(map(chr, range(0x1100, 0x1200))),
        SPECIAL,
        ["'s", "'ll", " ", "  ", "\n", "<|", "|>", "the", " and", "ing", "é", "ß"],
    ]
    for i in range(700):
        text = ""
        for _ in range(rng.choice([2, 4, 8, 16, 24])):
            if rng.random() < 0.1:
                c = rng.randrange(0x110000)
                text += "" if 0xD800 <= c < 0xE000 else chr(c)
            else:
                text += rng.choice(rng.choice(pools))
        texts.add(text)

    # Long words.
    for unit in (
        "a",
        "ab",
        "the",
        "é",
        "e\u0301",
        "中",
        "\u0301",
        "0",
        "!",
        "'",
        "<|",
        "\t",
        "\n",
        "\0",
        "\U0001f600",
    ):
        texts.add_repeat("", unit, 5000)
        texts.add_repeat("x ", unit, 1001, "y")
    for n in (300, 1000, 3000):
        texts.add(
            "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=n)),
            "".join(rng.choices("etaoinshr", k=n)),
        )

    # Every assigned character, and some that are not: normalization, then classes.
    every = [c for c in range(0x110000) if assigned(c) or c in YOUNG or c in YOUNG_MARKS]
    for part in chunks(every, 2048):
        texts.add_sweep(ranges_of(part), "e\u0345", "\u0334")
    classes = Tokenizer.from_str(json.dumps(probe_json())).pre_tokenizer
    known = [
        c
        for c in range(0x110000)
        if not 0xD800 <= c < 0xE000
        and (
            assigned(c)
            or len(classes.pre_tokenize_str("a" + chr(c))) == 1
            or len(classes.pre_tokenize_str("1" + chr(c))) == 1
        )
    ]
    for part in chunks(known, 4096):
        for before in ("a", "1", "!", "\t"):
            texts.add_sweep(ranges_of(part), before, "||")
    texts.add_sweep([[0xE000, 0xE0FF], [0xF0000, 0xF00FF], [0x10FF00, 0x10FFFF]], "a", "!\u0345")
    return texts


def alphabet():
    """The letters of the byte-level alphabet by byte (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in printable]
    return {**{b: chr(b) for b in printable}, **{b: chr(0x100 + i) for i, b in enumerate(others)}}


def probe_json():
    letters = alphabet()
    vocab = {letters[b]: b for b in range(256)}
    merges = []
    for left in "a1!\t":
        for b in range(256):
            merges.append(f"{letters[ord(left)]} {letters[b]}")
            vocab[letters[ord(left)] + letters[b]] = len(vocab)
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    bar = {
        "id": len(vocab),
        "content": "||",
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": False,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [bar],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": merges,
        },
    }


def train_small():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        show_progress=False,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    spaces = [" " * n + "x" for n in (2, 4, 8, 16)] * 3
    tokenizer.train_from_iterator(SENTENCES * 2 + CODE + spaces, trainer)
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(8, 1, -1)])
    return tokenizer


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def write_ids(ids, longest):
    if len(ids) > longest:
        return f"#{len(ids)} {fnv1a(b''.join(i.to_bytes(4, 'little') for i in ids))}"
    out = []
    for i in ids:
        if out and out[-1][0] == i:
            out[-1][1] += 1
        else:
            out.append([i, 1])
    return " ".join(f"{i}*{n}" if n > 2 else " ".join([str(i)] * n) for i, n in out)


def write_results(tokenizer, texts, path, longest):
    lines = []
    for text in texts.plain:
        ids = tokenizer.encode(text).ids
        tokenizer.encode_special_tokens = True
        untrusted = tokenizer.encode(text).ids
        tokenizer.encode_special_tokens = False
        decoded = tokenizer.decode(ids, skip_special_tokens=False)
        data = decoded.encode()
        lines.append(
            "\t".join(
                (
                    write_ids(ids, longest),
                    write_ids(untrusted, longest) if untrusted != ids else "",
                    f"#{len(data)} {fnv1a(data)}" if decoded != text else "",
                )
            ).rstrip("\t")
        )
    write_lines(path, lines)


def write_decodings(tokenizer, n_ids, path):
    rng = random.Random(21)
    lists = [[i] for i in range(0, n_ids + 40, max(1, n_ids // 250))] + [[0], [1], [0, 1], []]
    for i in range(350):
        lists.append(
            [
                rng.choice(
                    [
                        rng.randrange(n_ids + 60),
                        rng.randrange(300),
                        0,
                        1,
                        n_ids + rng.randrange(99),
                        n_ids - rng.randrange(30),
                    ]
                )
                for _ in range(rng.randint(2, 12))
            ]
        )
    lines = []
    for ids in lists:
        all_text = tokenizer.decode(ids, skip_special_tokens=False)
        text = tokenizer.decode(ids, skip_special_tokens=True)
        lines.append(f"{write_ids(ids, 1000)}\t{escape(all_text)}\t{escape(text)}")
    write_lines(path, lines)


def write_lines(path, lines):
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in lines)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    real = Tokenizer.from_file(sys.argv[1])
    out = sys.argv[2]
    small = train_small()
    small.save(f"{out}/small.json", pretty=False)
    small = Tokenizer.from_file(f"{out}/small.json")
    with open(f"{out}/probe.json", "w", encoding="utf-8") as file:
        json.dump(probe_json(), file, ensure_ascii=False, separators=(",", ":"))
    probe = Tokenizer.from_file(f"{out}/probe.json")
    texts = collect_texts()
    write_lines(f"{out}/texts.txt", texts.notation)
    write_results(real, texts, f"{out}/20B.txt", 40)
    write_results(small, texts, f"{out}/small.txt", 8)
    write_results(probe, texts, f"{out}/probe.txt", 0)
    write_decodings(real, 50277, f"{out}/20B.decode.txt")
    write_decodings(small, small.get_vocab_size(), f"{out}/small.decode.txt")
    print(f"{len(texts.plain)} texts, {len(set(texts.plain))} different")


main()
