"""Chinese or English, by the person's locale. The program is written in English; `chinese` holds the other half.

Three kinds of text: sentences of this command (`say("Machine")`), words of the protocols (`say.word("over_current")`),
and sentences that the agent made (`say.sentence("the door is open")`). A test holds the first two complete.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final, Literal

from edge_agent.technician import chinese

Language = Literal["zh", "en"]

# In the order in which gettext looks.
VARIABLES: Final = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")

# A place in a Chinese sentence for a part of the English one, which may be a sentence itself.
GROUP: Final = re.compile(r"\\(\d)")


def chosen_language(environment: Mapping[str, str] | None = None) -> Language:
    """The language of the first variable that is set; English when it is not Chinese."""
    environment = os.environ if environment is None else environment
    named = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    return "zh" if named.startswith("zh") else "en"


class Speech:
    """One language. `say("sentence {field}", field=...)`."""

    def __init__(self, language: Language) -> None:
        self.language: Final = language

    def __call__(self, sentence: str, /, **fields: object) -> str:
        told = chinese.SENTENCES[sentence] if self.language == "zh" else sentence
        return told.format(**fields) if fields else told

    def word(self, word: str | None, context: str = "") -> str:
        """A word of a protocol, as its context means it; one that is not known (of newer software) stays as it is."""
        if not word:
            return ""
        known = chinese.WORDS.get(f"{context}/{word}") or chinese.WORDS.get(word)
        if known is None:
            return word
        english, told = known
        return told if self.language == "zh" else english

    def fix(self, what: str) -> str:
        """What to do about an error pattern of a line or a fault; one of newer software is looked up in the guide."""
        english, told = chinese.FIXES.get(what, chinese.LOOK_IT_UP)
        return told if self.language == "zh" else english

    def stop_fix(self, reason: str) -> str:
        """What to do about a reason not to sell, as the agent says it in English."""
        english, told = next(((fix, its) for held, fix, its in chinese.STOPS if held in reason), chinese.LOOK_IT_UP)
        return told if self.language == "zh" else english

    def sentence(self, sentence: str | None) -> str:
        """A sentence of the agent; one without a translation stays English."""
        if not sentence:
            return ""
        if self.language == "en":
            return sentence
        for pattern, told in chinese.PATTERNS:
            if match := pattern.fullmatch(sentence):
                parts = [self.sentence(part) for part in match.groups()]
                return GROUP.sub(lambda group, parts=parts: parts[int(group[1]) - 1], told)  # type: ignore[misc]
        return sentence
