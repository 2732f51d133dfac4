"""The messages of the interoperability tests."""

import json


def numbered(number):
    """Message `number`.

    It says the same again and again, so that compression has something to do, and ends with a phrase that comes back 40
    messages later: what refers to it reaches farther than a small window.
    """
    text = ", ".join([f"snowman \u2603 number {number}"] * 32 + [phrase(number)])
    return json.dumps({"n": number, "text": text}, ensure_ascii=False)


def phrase(number):
    """24 letters that follow no rule a compressor would find."""
    state, letters = number % 40 + 1, ""
    while len(letters) < 24:
        state = state * 75 % 65537
        letters += chr(97 + state % 26)
    return letters
