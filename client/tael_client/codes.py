"""What a response code means to whoever called: one table, from the documents of QFPay's oversea API and later ones.

Only codes that are in it are believed to be a refusal. A code that is not is UNKNOWN, never FINAL: hosted servers have
more codes than any document, and a payment that was taken for failed is paid for twice.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

OK: Final = "0000"
OUT_OF_SERVICE: Final = "1112"
BAD_SIGNATURE: Final = "1108"
NOT_FOUND: Final = "1136"


class Meaning(StrEnum):
    """What a code says, and so what to do next."""

    DONE = "done"  #: the call did what it says; an online payment is created, not paid
    PENDING = "pending"  #: not decided yet: ask again by a query
    UNKNOWN = "unknown"  #: nobody can say: query, as for PENDING
    RETRY = "retry"  #: not done now; the very same request may be sent again later, with the same reference
    FINAL = "final"  #: this will never succeed; correct it and use a new reference


# fmt: off
_PENDING = "1143 1145 1161 1295 1298 2999"
_UNKNOWN = "1101 1127 1131 1141 1144 1154 1252 1254 2010"
_RETRY = "1100 1111 1112 1120 1128 1170 1180 1265 1269 1296 1297 2009"
_FINAL = (
    "1102 1103 1104 1105 1106 1107 1108 1109 1110 1113 1114 1115 1116 1117 1118 1119 1121 1122 1123 1124 1125 1126 "
    "1129 1130 1132 1133 1134 1135 1136 1137 1138 1139 1140 1142 1146 1147 1150 1151 1152 1153 1155 1181 1201 1202 "
    "1203 1204 1205 1212 1241 1242 1243 1250 1251 1260 1261 1262 1263 1264 1266 1267 1268 1270 1271 1272 1294 "
    "2001 2002 2003 2004 2005 2006 2007 2008 2011 2012 2101"
)
# fmt: on

MEANINGS: Final[Mapping[str, Meaning]] = {
    OK: Meaning.DONE,
    **dict.fromkeys(_PENDING.split(), Meaning.PENDING),
    **dict.fromkeys(_UNKNOWN.split(), Meaning.UNKNOWN),
    **dict.fromkeys(_RETRY.split(), Meaning.RETRY),
    **dict.fromkeys(_FINAL.split(), Meaning.FINAL),
}

#: What a server answers before it knows who asks, so that it cannot sign: under maintenance, out of service, too many
#: connections. All say that the same request may be sent again. No other unsigned code is believed.
SAID_UNSIGNED: Final = frozenset({"1100", OUT_OF_SERVICE})
#: The others that it cannot sign: an unreadable request or path, a wrong signature. Anybody can write them, and who
#: believed them would pay again under a new reference. So they are shown, and decide nothing.
UNSIGNED_REFUSALS: Final = frozenset({"1103", BAD_SIGNATURE})

#: Refusals that may only say that an earlier sending of the same request was done.
SAYS_ALREADY: Final = frozenset(
    {"1102", "1125", "1142", "1251", "1260", "1262", "1263", "1264", "1272", "2011"}
)


def meaning_of(respcd: str) -> Meaning:
    return MEANINGS.get(respcd, Meaning.UNKNOWN)
