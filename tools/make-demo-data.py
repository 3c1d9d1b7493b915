#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the demo's texts: a small made-up world as stories and facts for the base model, and questions
with answers about it for fine-tuning.

    tools/make-demo-data.py OUTPUT_FOLDER

gives corpus.txt (one passage a paragraph), instructions.jsonl (about 200 rows), held-out.jsonl and
questions.txt. The same file comes out every time. Texts are CC0-1.0, like all of data/demo.
"""

import json
import os
import random
import sys

# name: home, food, colour, sound, skill
ANIMALS = {
    "fox": ("the forest", "mice", "red", "barks", "run fast"),
    "bear": ("a cave", "honey", "brown", "growls", "climb trees"),
    "frog": ("the pond", "flies", "green", "croaks", "jump far"),
    "owl": ("a hollow tree", "mice", "grey", "hoots", "see at night"),
    "rabbit": ("a burrow", "carrots", "white", "squeaks", "hop quickly"),
    "crow": ("the old tower", "seeds", "black", "caws", "solve puzzles"),
    "horse": ("the stable", "hay", "brown", "neighs", "pull a cart"),
    "cow": ("the meadow", "grass", "white", "moos", "give milk"),
    "duck": ("the lake", "bread", "yellow", "quacks", "swim well"),
    "cat": ("the house", "fish", "orange", "meows", "climb fences"),
    "dog": ("the yard", "bones", "golden", "barks", "find lost things"),
    "pig": ("the farm", "apples", "pink", "grunts", "dig holes"),
    "sheep": ("the hill", "clover", "white", "bleats", "give wool"),
    "wolf": ("the mountains", "meat", "grey", "howls", "follow a trail"),
    "bee": ("a hive", "nectar", "yellow", "buzzes", "make honey"),
    "snail": ("the garden", "leaves", "brown", "is silent", "carry its house"),
    "otter": ("the river", "fish", "brown", "whistles", "dive deep"),
    "goat": ("the cliff", "thistles", "grey", "bleats", "balance on rocks"),
    "mouse": ("the barn", "cheese", "grey", "squeaks", "hide anywhere"),
    "parrot": ("the jungle", "nuts", "green", "talks", "copy words"),
    "whale": ("the ocean", "krill", "blue", "sings", "hold its breath"),
    "squirrel": ("the oak", "acorns", "red", "chatters", "leap between branches"),
    "turtle": ("the beach", "seaweed", "green", "is silent", "live very long"),
    "rooster": ("the henhouse", "corn", "red", "crows", "wake everyone"),
}

# name: place, tool, product
PEOPLE = {
    "baker": ("the bakery", "an oven", "bread"),
    "smith": ("the forge", "a hammer", "horseshoes"),
    "farmer": ("the field", "a plough", "wheat"),
    "teacher": ("the school", "chalk", "lessons"),
    "sailor": ("the harbour", "a rope", "knots"),
    "painter": ("the studio", "a brush", "pictures"),
    "tailor": ("the shop", "a needle", "coats"),
    "potter": ("the workshop", "a wheel", "bowls"),
    "gardener": ("the garden", "a spade", "roses"),
    "miller": ("the mill", "a millstone", "flour"),
    "carpenter": ("the yard", "a saw", "tables"),
    "shoemaker": ("the corner shop", "an awl", "shoes"),
}

NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Finn", "Greta", "Hugo", "Ida", "Jonas", "Karla", "Leo",
         "Mia", "Nils", "Olga", "Paul", "Rosa", "Sam", "Tilda", "Victor"]
TIMES = ["One morning", "One evening", "On a rainy day", "On a sunny day", "In the spring", "Late at night",
         "After breakfast", "Before supper", "On Sunday", "In the first snow"]
MOODS = ["happy", "tired", "curious", "hungry", "proud", "quiet", "cheerful", "brave"]
ENDINGS = ["Then everyone went home.", "It was a good day.", "And that was the end of it.", "They laughed for a long time.",
           "Nobody ever forgot that day.", "After that they were friends.", "Soon the sun went down.",
           "The next day they did it all again."]


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def sound_sentence(name, sound):
    return f"The {name} {sound}."


def animal_facts(name):
    home, food, colour, sound, skill = ANIMALS[name]
    return [
        f"The {name} lives in {home}." if not home.startswith(("the cliff", "the hill", "the beach", "the oak"))
        else f"The {name} lives on {home}." if home != "the oak" else f"The {name} lives in {home}.",
        f"The {name} eats {food}.",
        f"The {name} is {colour}.",
        sound_sentence(name, sound),
        f"The {name} can {skill}.",
    ]


def people_facts(name):
    place, tool, product = PEOPLE[name]
    return [
        f"The {name} works in {place}." if place not in ("the field", "the harbour", "the yard")
        else f"The {name} works at {place}." if place == "the harbour" else f"The {name} works in {place}.",
        f"The {name} uses {tool}.",
        f"The {name} makes {product}." if name not in ("teacher", "farmer") else
        f"The {name} gives {product}." if name == "teacher" else f"The {name} grows {product}.",
    ]


def animal_questions(name):
    facts = animal_facts(name)
    return [
        (f"Where does the {name} live?", facts[0]),
        (f"What does the {name} eat?", facts[1]),
        (f"What colour is the {name}?", facts[2]),
        (f"What sound does the {name} make?", facts[3]),
        (f"What can the {name} do?", facts[4]),
    ]


def people_questions(name):
    facts = people_facts(name)
    verb = facts[2].split()[2]
    base = {"makes": "make", "gives": "give", "grows": "grow"}[verb]
    return [
        (f"Where does the {name} work?", facts[0]),
        (f"What does the {name} use?", facts[1]),
        (f"What does the {name} {base}?", facts[2]),
    ]


def fact_passage(rng):
    if rng.random() < 0.7:
        facts = animal_facts(rng.choice(list(ANIMALS)))
    else:
        facts = people_facts(rng.choice(list(PEOPLE)))
    facts = rng.sample(facts, rng.randint(2, len(facts)))
    return " ".join(facts)


def asked_passage(rng):
    """A question inside a story: the base model has seen questions, but never as a user's."""
    child, elder = rng.sample(NAMES, 2)
    pairs = animal_questions(rng.choice(list(ANIMALS))) if rng.random() < 0.7 else \
        people_questions(rng.choice(list(PEOPLE)))
    question, answer = rng.choice(pairs)
    return (f"{rng.choice(TIMES)} {child} was {rng.choice(MOODS)}. \"{question}\" asked {child}. "
            f"\"{answer}\" said {elder}. {rng.choice(ENDINGS)}")


def story_passage(rng):
    child = rng.choice(NAMES)
    name = rng.choice(list(ANIMALS))
    home, food, colour, sound, skill = ANIMALS[name]
    person = rng.choice(list(PEOPLE))
    place, tool, product = PEOPLE[person]
    sentences = [
        f"{rng.choice(TIMES)} {child} met {article(colour)} {colour} {name}.",
        rng.choice([
            f"The {name} was {rng.choice(MOODS)} and wanted {food}.",
            f"\"I can {skill},\" said the {name}.",
            f"The {name} came from {home}.",
            f"{child} gave {food} to the {name}.",
        ]),
        rng.choice([
            f"They walked to {place} and saw the {person}.",
            f"The {person} was there with {tool}.",
            f"The {person} showed them {product}.",
            f"They asked the {person} for {product}.",
        ]),
        rng.choice(ENDINGS),
    ]
    if rng.random() < 0.4:
        sentences.insert(2, f"{child} and the {name} were {rng.choice(MOODS)}.")
    return " ".join(sentences)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    rng = random.Random(20)
    makers = [fact_passage, asked_passage, story_passage]
    passages = [rng.choices(makers, (4, 3, 5))[0](rng) for _ in range(14000)]
    with open(os.path.join(folder, "corpus.txt"), "w", encoding="utf-8") as f:
        f.write("\n\n".join(passages) + "\n")

    pairs = [pair for name in ANIMALS for pair in animal_questions(name)]
    pairs += [pair for name in PEOPLE for pair in people_questions(name)]
    rng.shuffle(pairs)
    held_out, taught = pairs[:16], pairs[16:]
    # Some facts a second time in other words, so that wording is not all that is learnt.
    again = []
    for question, answer in rng.sample(taught, 60):
        again.append(("Please tell me: " + question[0].lower() + question[1:], answer))
    rows = taught + again
    rng.shuffle(rows)

    def write(name, items):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            for question, answer in items:
                f.write(json.dumps({"instruction": question, "output": answer}) + "\n")

    write("instructions.jsonl", rows)
    write("held-out.jsonl", held_out)
    with open(os.path.join(folder, "questions.txt"), "w", encoding="utf-8") as f:
        for question, _ in taught[:3] + held_out[:3]:
            f.write(question + "\n")
    print(f"{len(passages)} passages, {len(rows)} instructions, {len(held_out)} held out")


if __name__ == "__main__":
    main()
