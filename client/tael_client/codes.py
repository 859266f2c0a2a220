"""The meaning of the response codes, from the documents of QFPay's overseas API and later ones.

Only a code in the table is taken as a refusal. Any other code is UNKNOWN, never FINAL: hosted servers have more codes
than the documents, and a payment wrongly taken as failed is paid twice.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

OK: Final = "0000"
OUT_OF_SERVICE: Final = "1112"
BAD_SIGNATURE: Final = "1108"
NOT_FOUND: Final = "1136"


class Meaning(StrEnum):
    """The meaning of a code for the caller's next step."""

    DONE = "done"  #: the call succeeded; an online payment is created, not paid
    PENDING = "pending"  #: not decided yet: query
    UNKNOWN = "unknown"  #: the result is unknown: query, as for PENDING
    RETRY = "retry"  #: not done; the same request may be sent again later, with the same reference
    FINAL = "final"  #: the request will never succeed; correct it and use a new reference


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

#: Codes accepted without a signature. The server returns them before it has identified the app, so it cannot sign:
#: maintenance, out of service, too many connections. All mean that the same request may be sent again.
ACCEPTED_UNSIGNED: Final = frozenset({"1100", OUT_OF_SERVICE})
#: The other codes that a server cannot sign: an unreadable request or path, a wrong signature. They could be forged,
#: and a client that trusted them would pay again under a new reference. They are reported but decide nothing.
UNSIGNED_REFUSALS: Final = frozenset({"1103", BAD_SIGNATURE})

#: Refusals that may only mean that an earlier sending of the same request succeeded.
ALREADY_DONE: Final = frozenset(
    {"1102", "1125", "1142", "1251", "1260", "1262", "1263", "1264", "1272", "2011"}
)


def meaning_of(respcd: str) -> Meaning:
    return MEANINGS.get(respcd, Meaning.UNKNOWN)
