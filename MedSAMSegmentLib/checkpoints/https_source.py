"""Weights from a web server: resumed after a break, checked while they stream."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from ..cancellation import CancelCheck, raise_if_cancelled
from ..errors import DownloadError
from ..registry import ModelEntry, Source
from .package_source import without_credentials
from .resume import bytes_of, digester_of, store_etag, stored_etag
from .transfer import (
    CHUNK_BYTES,
    ByteProgressCallback,
    Digester,
    FileDigest,
    looks_like_html,
    megabytes,
    plausible_bytes,
)

if TYPE_CHECKING:
    import requests

_MOST_REDIRECTS = 10
_MOST_WAIT_SECONDS = 30.0
_REDIRECTS = (301, 302, 303, 307, 308)
_WORTH_A_RETRY = (408, 425, 429, 500, 502, 503, 504)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_KEPT = "What has arrived is kept: the next try goes on from there."
_NETWORK_CURE = f"Check the network and the variables HTTPS_PROXY and REQUESTS_CA_BUNDLE, then try again. {_KEPT}"


class _Interrupted(Exception):
    """The transfer broke off in a way that another try may mend."""


@dataclass(frozen=True)
class _Transfer:
    """The constants of one file's transfer, over all attempts."""

    session: requests.Session
    address: str
    part: Path
    entry: ModelEntry
    progress: ByteProgressCallback
    cancel: CancelCheck


def _wait(seconds: float, cancel: CancelCheck) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        raise_if_cancelled(cancel)
        time.sleep(min(left, 0.1))


class HttpsFetcher:
    """Fetches from sources of kind https; proxy and CA variables are honoured as requests does.

    `attempts` without any new byte end the download. `wait(seconds, cancel)` passes the time between them, doubling
    from one second. `timeout` is for connecting and for silence between bytes, in seconds. Plain http is refused,
    but for loopback when `allow_loopback_http` is set.
    """

    def __init__(
        self,
        *,
        attempts: int = 5,
        wait: Callable[[float, CancelCheck], None] = _wait,
        timeout: tuple[float, float] = (10.0, 20.0),
        allow_loopback_http: bool = False,
    ) -> None:
        self._attempts = attempts
        self._wait = wait
        self._timeout = timeout
        self._allow_loopback_http = allow_loopback_http

    def fetch(
        self, source: Source, part: Path, entry: ModelEntry, progress: ByteProgressCallback, cancel: CancelCheck
    ) -> FileDigest:
        """Download to `part`, going on from what is there. Raises DownloadError, Cancelled and OSError."""
        import requests

        most_bytes, failures = -1, 0
        with requests.Session() as session:
            transfer = _Transfer(session, source.address, part, entry, progress, cancel)
            while True:
                raise_if_cancelled(cancel)
                try:
                    return self._attempt(transfer)
                except _Interrupted as interruption:
                    reached = bytes_of(part)
                    failures = 1 if reached > most_bytes >= 0 else failures + 1
                    most_bytes = max(reached, most_bytes)
                    if failures >= self._attempts:
                        raise DownloadError(
                            f"The download from {source.address} failed {failures} times: {interruption}.",
                            _NETWORK_CURE,
                        ) from interruption
                self._wait(min(2.0 ** (failures - 1), _MOST_WAIT_SECONDS), cancel)

    def _attempt(self, transfer: _Transfer) -> FileDigest:
        import requests

        try:
            return self._exchange(transfer)
        except requests.exceptions.SSLError as error:
            raise DownloadError(
                f"The certificate of the server of {transfer.address} was not accepted.",
                "Set REQUESTS_CA_BUNDLE to your organisation's certificate file, then try again.",
                without_credentials(str(error)),
            ) from error
        except requests.RequestException as error:
            raise _Interrupted(_plain_reason(error)) from error
        except ValueError as error:  # a Location that is no address, a length that is no number
            raise DownloadError(
                f"The answer of the server of {transfer.address} cannot be understood.",
                "Try again later, or import the file by hand.",
                type(error).__name__,
            ) from error

    def _exchange(self, transfer: _Transfer) -> FileDigest:
        etag = stored_etag(transfer.part, transfer.address)
        offset = bytes_of(transfer.part) if etag else 0
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": etag}
        with self._open(transfer, headers) as response:
            start = _accept(response, offset, transfer)
            total = _announced_total(response, start)
            _check_total(total, transfer)
            digester = digester_of(transfer.part, start)
            if start == 0:
                store_etag(transfer.part, transfer.address, response.headers.get("ETag", ""))
            _receive(response, transfer, digester, total)
        if total is not None and digester.size < total:
            raise _Interrupted(f"the connection closed after {digester.size} of {total} bytes")
        return digester.digest()

    def _open(self, transfer: _Transfer, headers: dict[str, str]) -> requests.Response:
        """Return the answer after redirects, each of which is checked before it is followed."""
        address = transfer.address
        for _ in range(_MOST_REDIRECTS):
            self._require_safe(address)
            response = transfer.session.get(
                address, headers=headers, stream=True, timeout=self._timeout, allow_redirects=False
            )
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            address = urljoin(address, response.headers["Location"])
        raise DownloadError(
            f"The server redirects without end ({without_credentials(address)}).", "Import the file by hand."
        )

    def _require_safe(self, address: str) -> None:
        parts = urlsplit(address)
        loopback = self._allow_loopback_http and parts.scheme == "http" and parts.hostname in _LOOPBACK
        if parts.scheme != "https" and not loopback:
            raise DownloadError(
                f"{without_credentials(address)} is not an https address; it was not opened.",
                "Import the file by hand.",
            )


def _accept(response: requests.Response, offset: int, transfer: _Transfer) -> int:
    """Return the place in the file of the answer's first byte."""
    status = response.status_code
    if status == 416:
        transfer.part.unlink(missing_ok=True)
        raise _Interrupted("the server could not go on from where the last download stopped")
    if status in _WORTH_A_RETRY:
        raise _Interrupted(f"the server answered {status}")
    if status not in (200, 206):
        raise DownloadError(
            f"The server answered {status} {response.reason or ''}".rstrip() + f" for {transfer.address}.",
            _status_cure(status),
        )
    kind = response.headers.get("Content-Type", "").lower()
    if "text/html" in kind:
        raise _web_page(transfer.address)
    if status == 206:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            transfer.part.unlink(missing_ok=True)
            raise _Interrupted("the server sent another part of the file than asked for")
        return offset
    return 0


def _status_cure(status: int) -> str:
    if status in (401, 403):
        return "The server wants a login or forbids the download; fetch the file in a browser."
    if status in (404, 410):
        return "The file has moved; look for a newer version of this program."
    if status == 407:
        return "The proxy wants a login; set it in HTTPS_PROXY."
    return "Try again later."


def _web_page(address: str) -> DownloadError:
    return DownloadError(
        f"{address} gave a web page instead of weights.",
        "A login page, a proxy's notice or a download limit stands between; open the address in a browser to see it.",
    )


def _announced_total(response: requests.Response, start: int) -> int | None:
    length = response.headers.get("Content-Length", "")
    return start + int(length) if length.isdigit() else None


def _check_total(total: int | None, transfer: _Transfer) -> None:
    if total is None:
        return
    entry = transfer.entry
    low, high = (entry.size_bytes,) * 2 if entry.size_bytes is not None else plausible_bytes(entry)
    if not low <= total <= high:
        raise DownloadError(
            f"{transfer.address} announces {total} bytes; {entry.title} has {megabytes(entry.expected_bytes)}.",
            "The file has been replaced, or something else answers at this address.",
        )


def _receive(response: requests.Response, transfer: _Transfer, digester: Digester, total: int | None) -> None:
    entry = transfer.entry
    most = entry.size_bytes if entry.size_bytes is not None else plausible_bytes(entry)[1]
    with transfer.part.open("ab" if digester.size else "wb") as target:
        for chunk in response.iter_content(CHUNK_BYTES):
            raise_if_cancelled(transfer.cancel)
            if digester.size == 0 and looks_like_html(chunk):
                raise _web_page(transfer.address)
            if digester.size + len(chunk) > most:
                raise DownloadError(
                    f"The server sent more than the {megabytes(most)} that {entry.title} can have.",
                    "The file has been replaced, or something else answers at this address.",
                )
            digester.update(chunk)
            target.write(chunk)
            transfer.progress(digester.size, total or entry.size_bytes)


def _plain_reason(error: requests.RequestException) -> str:
    import requests

    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy did not answer"
    if isinstance(error, requests.exceptions.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection dropped"
    return "the server could not be reached or dropped the connection"
