"""Paraphrases by rule: words and short phrases give way to others of the same meaning. No model, no network.

Names, numbers and whatever else identifies a text stay. Each phrase may give way to its other one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from lethe.params.fields import Percent

NEEDS = ("wording",)
PAIRS = (
    "about/regarding|also/too|always/at all times|answer/reply|are not/aren't|ask/inquire|because of/due to"
    "|begin/start|big/large|born/born on|but/yet|buy/purchase|call/phone|came in/arrived in|can not/can't"
    "|cannot/is unable to|check/verify|choose/select|client/customer|complained of/reported"
    "|complains that/reports that|create/make|daily/every day|did not/didn't|do not/don't|does not/doesn't"
    "|doctor/physician|each/every|end/finish|error/fault|fast/quick|file/document|find/locate"
    "|for example/for instance|from/out of|get/obtain|give/provide|goes to/is sent to|has/possesses"
    "|help/assist|however/still|if/in case|if not/unless|important/significant|in order to/so as to"
    "|insured under/covered by|is not/isn't|keep/retain|list/enumeration|many/numerous|may/might"
    "|method/procedure|must/has to|need/require|never/at no time|new/recent|now/at present|number/count"
    "|of/belonging to|often/frequently|old/former|only/merely|paid/spent|patient/the patient"
    "|prescribed/ordered|put/placed|reach/contact|refund/repayment|remove/delete|reports that/states that"
    "|return/give back|same/identical|says that/claims that|see/look at|seen today/examined today|send/mail"
    "|set of/collection of|shall/will|should/ought to|show/display|small/little|takes/receives"
    "|telephone/phone number|that/which|this/the present|use/employ|used/employed|value/quantity|visit/call"
    "|wants/wishes|was not/wasn't|we owe/we must pay|when/as soon as|with/along with|without/lacking"
    "|write/note|wrote that/stated that|wrong/incorrect"
)


@dataclass(frozen=True)
class Options:
    level: Percent  # share of the phrases with another wording that get it, %


def rewritten(options: Options, text: str, draw) -> str:
    def other(match: re.Match) -> str:
        if draw.random() * 100 >= options.level:
            return match[0]
        found = others()[match[0].lower()]
        return found[0].upper() + found[1:] if match[0][0].isupper() else found

    return phrase().sub(other, text)


@cache
def others() -> dict[str, str]:
    """Phrase -> its other wording, both ways."""
    there = dict(pair.split("/") for pair in PAIRS.split("|"))
    return {other: phrase for phrase, other in there.items()} | there


@cache
def phrase() -> re.Pattern[str]:
    """Any phrase that has another wording; the longest where several begin."""
    longest_first = sorted(map(re.escape, others()), key=len, reverse=True)
    return re.compile(rf"\b({'|'.join(longest_first)})\b", re.IGNORECASE)
