# SPDX-License-Identifier: LGPL-2.1-or-later
"""Several hundred strings in more than ten scripts, with the characters that tokenizers stumble over."""

import random

SENTENCES = {
    "Latin": "The quick brown fox doesn't jump over 13 lazy dogs; it's 3.14159 o'clock, I'LL say!",
    "German": "Über größere Äpfel freut sich Jörg außerordentlich – „wirklich“?",
    "French": "L’été dernier, où étais-tu ? Ça m’a coûté 1 234,56 € à l’œil.",
    "Vietnamese": "Tiếng Việt có nhiều dấu: ắ ằ ẳ ẵ ặ, phở ngon quá!",
    "Turkish": "İstanbul'da ılık bir gün, IĞDIR ve ığdır.",
    "Cyrillic": "Съешь ещё этих мягких французских булок, да выпей же чаю в 2024-м.",
    "Greek": "Ξεσκεπάζω τὴν ψυχοφθόρα βδελυγμία. Ο Σίσυφος;",
    "Hebrew": "שָׁלוֹם עולם! מה שלומך היום, 5 פעמים?",
    "Arabic": "السَّلامُ عليكم ورحمة الله، العدد ١٢٣٤٥٦ كبير.",
    "Persian": "می‌خواهم به خانه‌ی شما بیایم، ۱۲۳ بار.",
    "Devanagari": "क्षत्रिय और ज्ञान: हिन्दी में १२३४५ शब्द हैं।",
    "Bengali": "বাংলা ভাষায় কিছু লেখা, সংখ্যা ১২৩।",
    "Tamil": "தமிழ் மொழி மிகவும் பழமையானது, எண் ௧௨௩.",
    "Thai": "ภาษาไทยไม่มีช่องว่างระหว่างคำ ๑๒๓๔",
    "Chinese": "敏捷的棕色狐狸跳过了懒狗，共１２３次。“引号”、《书名》",
    "Japanese": "吾輩は猫である。名前はまだ無い。カタカナとﾊﾝｶｸ、１２３。",
    "Korean": "다람쥐 헌 쳇바퀴에 타고파. 한글 자모 ㄱㄴㄷ, 123개.",
    "Armenian": "Բարեւ աշխարհ, այսօր 25 է։",
    "Georgian": "გამარჯობა მსოფლიო, 42 ჯერ.",
    "Amharic": "ሰላም ልዑል፣ ፩፪፫ ጊዜ።",
    "Emoji": "👩‍👩‍👧‍👦 family 🏳️‍🌈 👍🏽 ☕️ 🇩🇪🇫🇷 e\u0301 vs \u00e9 \U0001F9D1\u200D\U0001F680",
    "Code": "def f(x):\n\treturn {'a': [1, 2,\t3], \"b\": x**2}  # comment\n\n\nif (a!=b && c<=d) { goto END; }\r\n",
    "Mixed": "Привет, мир! 你好 world — مرحبا 123abc456 ½ ² ﬁ ﬀ Ⅷ ㎏ ‰ ™",
}

SPECIAL = [
    "", " ", "  ", "\n", "\n\n", "\t", " \n ", "a", "a ", " a", "  a  b  ", "\u00a0", "\u3000", "a\u00a0b", "\u200b", "\u200d", "\ufeff",
    "\u0000x", "\u0001\u0002", "\u0085", "\u2028", "\ufffd", "\U0010ffff", "x" * 300, "ab" * 200, " " * 70, "\n" * 33, "1" * 50,
    "1234567890123", "1,234,567.89", "3.14e-10", "don't won't I'm we've they'll he'd DON'T", "''''", "''s 's'S", "!!!???...", "-----", "a.b,c;d:e",
    "http://example.org/path?q=1&r=2#frag", "user@example.org", "C:\\dir\\file.txt", "<s>", "</s>", "<unk>", "a<s>b", "<|im_start|>user\nhi<|im_end|>",
    "\u2581", "a\u2581b", "\u2581\u2581", "Ġ", "Ċ", "ĠhelloĊ", "\u0301", "e\u0301\u0301", "ß ẞ ŉ ǰ", "ﷺ", "\u1e9b\u0323", "①②③", "½¼¾", "x²+y³", "A\u030a Å Å",
]


def strings():
    rng = random.Random(7)
    out = list(SPECIAL)
    for text in SENTENCES.values():
        out.append(text)
        words = text.split(" ")
        for _ in range(10):
            i, j = sorted(rng.sample(range(len(text) + 1), 2))
            out.append(text[i:j])
        rng.shuffle(words)
        out.append(" ".join(words))
    names = list(SENTENCES)
    for _ in range(60):
        a, b = rng.sample(names, 2)
        out.append(SENTENCES[a][: rng.randint(1, 30)] + rng.choice(["", " ", "\n", "  "]) + SENTENCES[b][: rng.randint(1, 30)])
    return out
