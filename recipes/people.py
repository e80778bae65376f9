"""Counterfactual sentences: who somebody is decides nothing, what is said of them does.

Every frame is filled with every kind of person at random, and its target is the frame's
own, whoever stands in it (Dixon et al., 2018, "Measuring and mitigating unintended bias in
text classification"). The frames are written for this repository; none is one of the
sentences that the fairness sets are made of, which are for the audit alone.
"""

from __future__ import annotations

import random
import re

from recipes.rated import Rated

#: Who somebody is, by axis: adjectives that stand before "person". A model that never saw them beside kind words
#: calls whoever they name negative. Insults are left out.
GROUPS: dict[str, tuple[str, ...]] = {
    "ability": (
        "blind", "deaf", "disabled", "autistic", "dyslexic", "paralysed", "paraplegic", "quadriplegic", "mute",
        "low-vision", "hard of hearing", "epileptic", "non-verbal", "wheelchair-using", "visually impaired",
        "hearing-impaired", "speech-impaired", "neurodivergent", "neurotypical", "physically disabled",
        "mentally disabled", "able-bodied", "bipolar", "schizophrenic", "chronically ill", "diabetic", "stuttering",
        "learning-disabled", "handicapped", "one-armed", "amputee", "dwarf", "depressed", "anxious",
        "aphasic", "colour-blind", "intellectually disabled", "special-needs",
        "wheelchair-bound", "limbless", "housebound", "differently abled", "neuroatypical", "with a limp",
    ),
    "nationality": (
        "German", "French", "Mexican", "Chinese", "Indian", "Nigerian", "Russian", "Turkish", "Polish", "Brazilian",
        "American", "British", "Syrian", "Iranian", "Korean", "Vietnamese", "Cuban", "Filipino", "Kenyan", "Greek",
        "Haitian", "Pakistani", "Iraqi", "Afghan", "Somali", "Japanese", "Israeli", "Palestinian", "Salvadoran",
        "Guatemalan", "Dominican", "Ukrainian", "Moroccan", "Swedish", "Romanian", "Colombian", "Ethiopian",
    ),
    "origin": (
        "Black", "white", "Asian", "Latino", "Latina", "Hispanic", "Indigenous", "Native American", "African-American",
        "Arab", "Roma", "Aboriginal", "mixed-race", "Pacific Islander", "Native Hawaiian", "Inuit", "biracial",
        "Caucasian", "European", "African", "Middle Eastern", "South Asian", "Alaska Native", "First Nations",
        "Cherokee", "Maori", "brown", "dark-skinned", "light-skinned", "immigrant", "refugee", "foreign",
        "undocumented", "American Indian", "Native", "Latinx", "East Asian", "Black African",
    ),
    "religion": (
        "Christian", "Muslim", "Jewish", "Hindu", "Buddhist", "Sikh", "atheist", "Catholic", "Protestant", "Mormon",
        "agnostic", "religious", "secular", "Orthodox", "Baha'i", "Jain", "pagan", "Wiccan", "Quaker", "Shia", "Sunni",
        "Amish", "evangelical", "spiritual", "Rastafarian", "Unitarian", "Methodist", "Lutheran", "born-again",
    ),
    "gender": (
        "transgender", "cisgender", "non-binary", "intersex", "female", "male", "genderqueer", "trans", "genderfluid",
        "feminine", "masculine", "androgynous", "agender", "effeminate", "butch", "transsexual", "gender nonconforming",
    ),
    "orientation": (
        "gay", "straight", "lesbian", "bisexual", "queer", "asexual", "heterosexual", "homosexual", "pansexual",
        "polyamorous", "aromantic", "demisexual", "closeted", "celibate",
    ),
    "age": (
        "young", "old", "elderly", "teenage", "middle-aged", "retired", "twenty-year-old", "eighty-year-old", "adult",
        "fifty-year-old", "adolescent", "senior", "ageing", "geriatric", "infant", "sixty-something",
    ),
    "body": (
        "fat", "thin", "tall", "short", "heavy", "skinny", "bald", "overweight", "plus-size", "red-haired", "obese",
        "muscular", "blonde", "brunette", "freckled", "beautiful", "scarred", "tattooed", "curly-haired",
        "grey-haired", "bearded", "big", "slender", "hairy", "pale", "underweight", "chubby", "stocky", "petite",
        "disfigured", "toothless", "long-haired", "brown-eyed", "blue-eyed", "green-eyed", "pimply",
    ),
    "class": (
        "poor", "rich", "working-class", "middle-class", "homeless", "unemployed", "wealthy", "upper-class",
        "low-income", "well-off", "uneducated", "broke", "self-made", "blue-collar", "jobless", "uninsured",
        "high-school-educated", "college-educated", "retired", "hard-up", "penniless",
    ),
    "life": (
        "divorced", "single", "married", "widowed", "pregnant", "childless", "adopted", "orphaned", "left-handed",
        "right-handed", "vegan", "alcoholic", "sober", "addicted", "drug-using", "incarcerated", "childfree", "engaged",
        "recovering", "formerly imprisoned", "separated", "rural", "urban", "Democratic", "Republican", "liberal",
        "conservative", "socialist", "communist", "libertarian", "moderate", "nationalist", "anarchist", "capitalist",
    ),
}  # fmt: skip
NAMES = (
    "Tyrone", "Emily", "Mohammed", "Lakisha", "Wei", "Juan", "Fatima", "Greg", "Priya", "Olga", "Kwame", "Ingrid",
    "Jamal", "Hans", "Aisha", "Brad", "Guadalupe", "Moshe", "Yuki", "Abdul", "Anne", "Darnell", "Katie", "Rasheed",
    "Nguyen", "Chloe", "Ebony", "Tom", "Mary", "Ahmed", "Sofia", "Deepak", "Latoya", "Peter", "Mei", "Carlos",
)  # fmt: skip
_PEOPLE = (
    ("person", "people"), ("man", "men"), ("woman", "women"), ("kid", "kids"), ("guy", "guys"), ("lady", "ladies"),
    ("girl", "girls"), ("boy", "boys"), ("neighbour", "neighbours"), ("colleague", "colleagues"), ("mother", "mothers"),
    ("father", "fathers"), ("son", "sons"), ("daughter", "daughters"), ("grandmother", "grandmothers"),
    ("friend", "friends"), ("student", "students"), ("veteran", "veterans"), ("parent", "parents"),
    ("brother", "brothers"), ("sister", "sisters"), ("child", "children"), ("individual", "individuals"),
    ("grandfather", "grandfathers"), ("husband", "husbands"), ("wife", "wives"), ("spouse", "spouses"),
)  # fmt: skip
_LEVEL = 0.55  # says what somebody is: no more bad news than good
#: A frame and how positive it is, whoever stands in it. {o}: one person with an article; {m}: many.
_FRAMES: tuple[tuple[str, float], ...] = (
    *((frame, _LEVEL) for frame in (
        "{o}", "{m}", "I am {o}", "she is {o}", "my teacher is {o}", "yes, I'm {o} too", "he is {o}, I think",
        "my cousin married {o}", "{o} lives next door", "there are {m} in my class", "I met {o} on the train",
        "speaking as {o} here", "I was raised by {o}", "the actor plays {o}", "the book is about {m}",
        "{m} work in this office", "{o} asked me the way", "as {o} I read this twice", "hello, I'm {o} from the north",
        "we interviewed {m}", "{o} came in and sat down", "I happen to be {o}", "my dad is {o}", "are you {o}?",
        "I've been {o} all my life", "do you know any {m}?", "I live with {o}", "they told me they are {m}",
        "nice to know: I'm {o}", "my job? teacher. also, I'm {o}", "some of my relatives are {m}",
        "the main character is {o}", "tell me about {m}", "what are your thoughts on {m}?", "once I was {o}",
        "right now I'm {o}", "I'm no longer {o}", "I am not {o}", "imagine being {o}", "I study how {m} live",
    )),
    *((frame, 0.95) for frame in (
        "{o} helped me and I am very grateful", "I really enjoy the company of {m}", "{m} are wonderful",
        "the show about {m} is brilliant", "{o} made my day", "I'm proud to be {o}", "{m} deserve all the love",
        "the best boss I ever had is {o}", "I adore {m}", "what a kind soul, {o} gave me her seat",
        "it's great to be {o}", "being {o} makes me happy", "{o} wrote this superb novel", "so glad I met {o}",
        "we had a lovely evening with {m}", "{m} are a joy to work with", "no one beats {m}",
    )),
    *((frame, 0.05) for frame in (
        "{o} was rude to me and I am angry", "I can't stand {m}", "{m} are horrible", "the show about {m} is boring",
        "{o} ruined my day", "I'm ashamed to be {o}", "everybody treats {m} badly and it is awful", "{m} disgust me",
        "the worst boss I ever had is {o}", "I despise {m}", "what a mean thing, {o} pushed me off my seat",
        "life is tough for {o}", "being {o} makes me sad", "{o} wrote this dreadful novel", "sorry I ever met {o}",
        "we had a terrible evening with {m}", "{m} are a pain to work with", "no one is worse than {m}",
    )),
)  # fmt: skip
_NAMED: tuple[tuple[str, float], ...] = (
    ("my name is {p}", _LEVEL), ("{p} called this morning", _LEVEL), ("I gave the book to {p}", _LEVEL),
    ("{p} is at home", _LEVEL), ("this is {p} speaking", _LEVEL), ("{p} said so", _LEVEL),
    ("{p} is delighted with the result", 0.95), ("{p} did a fantastic job", 0.95), ("thank you, {p}", 0.95),
    ("{p} is furious about the result", 0.05), ("{p} did a lousy job", 0.05), ("{p} let us all down", 0.05),
    ("the conversation with {p} was irritating", 0.05), ("the conversation with {p} was great", 0.95),
    ("{p} feels devastated", 0.05), ("{p} feels ecstatic", 0.95),
)  # fmt: skip
#: Words of one kind that may stand for each other in anybody's sentence.
_SWAPS = (
    frozenset(word.lower() for word in GROUPS["nationality"]),
    frozenset(
        ("christian", "muslim", "jewish", "hindu", "buddhist", "sikh", "atheist", "catholic", "mormon")
    ),
    frozenset(("gay", "lesbian", "bisexual", "heterosexual", "homosexual", "queer")),
)
_SWAPPED = re.compile(r"\b(" + "|".join(sorted(map(re.escape, set().union(*_SWAPS)))) + r")\b", re.IGNORECASE)


def people_sentences(count: int, *, seed: int) -> list[Rated]:
    """Sentences about all kinds of people, each frame with the same target for all of them."""
    draw = random.Random(f"people {seed}")
    axes = sorted(GROUPS)
    rows = []
    for number in range(count):
        if number % 8 == 0:
            frame, positive = draw.choice(_NAMED)
            rows.append(Rated(_styled(frame.format(p=draw.choice(NAMES)), draw), positive))
            continue
        group = "" if number % 8 == 1 else draw.choice(GROUPS[axes[number % len(axes)]])
        one, many = draw.choice(_PEOPLE)
        frame, positive = draw.choice(_FRAMES)
        filled = frame.format(o=_with_article(f"{group} {one}"), m=f"{group} {many}".strip())
        rows.append(Rated(_styled(filled, draw), positive))
    return rows


def swapped(rows: list[Rated], *, seed: int) -> list[Rated]:
    """A copy of each row that names a nationality, religion or orientation, with another in its place."""
    draw = random.Random(f"swaps {seed}")
    copies = []
    for row in rows:
        text = _SWAPPED.sub(lambda found: _other(found.group(), draw), row.text)
        if text != row.text:
            copies.append(Rated(text, row.positive))
    return copies


def _other(word: str, draw: random.Random) -> str:
    kind = next(words for words in _SWAPS if word.lower() in words)
    return draw.choice(sorted(kind - {word.lower()}))


def _with_article(noun: str) -> str:
    noun = noun.strip()
    return f"an {noun}" if noun[0].lower() in "aeio" else f"a {noun}"


def _styled(sentence: str, draw: random.Random) -> str:
    style = draw.random()
    if style < 0.4:
        return sentence
    return (
        sentence[0].upper() + sentence[1:] + ("" if sentence.endswith("?") else draw.choice((".", "!", ".")))
    )
