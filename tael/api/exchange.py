"""A merchant's request on its way through the steps of a pipeline, and what each endpoint adds to the steps.

Values only: `steps.py` has the functions, `pipeline.py` their order.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct
from starlette.requests import Request

from tael.api.address_guard import AddressGuard
from tael.api.authenticate import Credentials
from tael.api.downloads import Download
from tael.api.uploads import UploadMemory
from tael.api.wire import FilePart, Parameters
from tael.base.admission import Admission
from tael.base.clock import Clock
from tael.base.secret import Secret
from tael.db.cells import PerCell
from tael.merchants.credential_cache import AppContext, CredentialCache
from tael.merchants.domain.merchant import App, Merchant
from tael.merchants.rate_limit_totals import RateLimitTotals
from tael.merchants.rate_limiter import RateLimiter
from tael.oauth.access import UserAccess
from tael.oauth.context import OAuthContext
from tael.qfpay.answers import Members
from tael.qfpay.codes import OK, Call

#: What a handler gets: `AuthenticatedRequest`; `AppRequest` from the steps that select no merchant, `UserRequest` from
#: those of an access token.
Verified = TypeVar("Verified")


@dataclass(frozen=True, slots=True)
class Redirect:
    """A page to which the browser is sent instead of an answer."""

    url: str


#: A check, or a piece of work. Raises TaelError to refuse the request; otherwise it may set fields of the exchange.
Step = Callable[["Exchange"], Awaitable[None]]

NO_PARAMETERS: Final = Parameters({}, (), "utf-8")


@dataclass(frozen=True, slots=True)
class Endpoint(Generic[Verified]):
    """One path of the API: its steps, and the handler that the last of them calls."""

    path: str
    methods: tuple[str, ...]
    name: str  #: in the log
    call: Call  #: in the texts of errors; `check_grant` checks the operation of this name
    handler: Callable[[Verified], Awaitable[Members | Redirect | Download]]
    steps: tuple[Step, ...]
    is_page: bool = False  #: called by a page of ours, not by a merchant's server


@dataclass(frozen=True, slots=True)
class Access:
    """What the steps before a handler need, and the limits of a request."""

    credentials: CredentialCache
    clock: Clock
    call_s: float  #: for all database statements of one request
    max_form_bytes: int
    address_guard: AddressGuard
    rate_limiters: PerCell[RateLimiter]
    oauth: OAuthContext
    admission: Admission
    uploads: UploadMemory = field(default_factory=UploadMemory)

    @property
    def rate_limit_totals(self) -> RateLimitTotals:
        """What the limits did in this process, in all cells."""
        return self.rate_limiters.first.totals

    async def admit(self, merchant: Merchant) -> None:
        """Count a request of this merchant. Raises RateLimited."""
        await (await self.rate_limiters.of(merchant.cell)).admit(merchant)


class Exchange(Struct):
    """One request, and what the steps have found out so far. Only the step named behind a field sets it, at its end."""

    http: Request
    endpoint: Endpoint[Any]
    access: Access
    held: ExitStack  #: released with the response
    peer: str  #: the client's address, or the one that a trusted proxy reports; "" if there is none
    body: bytes = b""  #: read_body
    parameters: Parameters = NO_PARAMETERS  #: read_call, read_link, read_upload: not verified
    files: tuple[FilePart, ...] = ()  #: read_upload: not signed
    credentials: Credentials | None = None  #: read_call, read_upload: the headers
    appcode: str = ""  #: read_call, read_link, read_upload: as sent, for the log
    reference: str | None = None  #: read_call: a well-formed number, which a refusal may repeat
    claimed: AppContext | None = None  #: identify: the app that the request names; not verified
    context: AppContext | None = None  #: verify: the app that signed it
    values: Mapping[str, str] | None = None  #: verify: the signed values
    key: Secret | None = None  #: verify_call: with which they were signed
    merchant: Merchant | None = None  #: select_merchant
    signer: App | None = None  #: sign_responses: its key signs the response, from this step on
    user: UserAccess | None = None  #: authenticate_user: for whom the access token is
    members: Members | Redirect | Download | None = None  #: call_handler: of the response
    respcd: str = OK  #: of the response; set with it
