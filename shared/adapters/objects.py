"""The ObjectStore in a bucket, for functions; in a folder, for one machine; and in memory, for tests."""

from __future__ import annotations

import fcntl
import mimetypes
import os
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from shared.ports import ObjectStore

UNFINISHED = ".tmp"  # what a name ends in, after a dot at its beginning, until its bytes are whole
BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
REQUEST_S = 60.0  # for one request; gcsfs sends one that was refused or cut up to six times, for about half a minute
GIST_MAX = 300  # of what the service says


def open_objects(url: str, *, endpoint: str = "") -> ObjectStore:
    """The store at gs://bucket/prefix, file:///folder, a plain path, or memory:// (a new one each time, for tests).

    ValueError for a url that is none of these, OSError where there are no credentials. An endpoint is an emulator's,
    which is asked without credentials. Whether a bucket is there shows at the first put.
    """
    if url.startswith("memory://"):
        return MemoryObjects()
    if (folder := local_folder(url)) is not None:
        return FolderObjects(folder)
    filesystem, root = open_bucket(url, endpoint=endpoint)
    return BucketObjects(filesystem, root)


def local_folder(url: str) -> Path | None:
    """The folder that a plain path or file:///folder names; None for any other url."""
    if url.startswith("file:///"):
        return Path(unquote(url.removeprefix("file://")))
    return None if not url or "://" in url else Path(url)


def open_bucket(url: str, *, endpoint: str = "") -> tuple[Any, str]:
    """The fsspec file system that holds gs://bucket/prefix, and 'bucket/prefix'. Errors as in open_objects."""
    root = url.removeprefix("gs://").rstrip("/")
    bucket, _, prefix = root.partition("/")
    if not url.startswith("gs://") or not BUCKET.fullmatch(bucket):
        raise ValueError(f"{url[:200]!r}: expected gs://bucket/prefix, file:///folder, a path, or memory://")
    if prefix:
        _checked(prefix)
    with told(url):
        # the plain JSON service: the package's own GCSFileSystem asks each bucket by gRPC first whether it is zonal
        from gcsfs.core import GCSFileSystem  # type: ignore[import-untyped]

        filesystem = GCSFileSystem(
            token="anon" if endpoint else "google_default",  # left out, gcsfs would go on without any
            access="read_write",
            endpoint_url=endpoint or None,
            use_listings_cache=False,  # else what others put stays unseen
            requests_timeout=REQUEST_S,
        )
    return filesystem, root


@contextmanager
def told(url: str) -> Iterator[None]:
    """What a bucket raises, as an OSError that says of which url, why, and the remedy.

    FileNotFoundError and FileExistsError pass as they are.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except _errors() as error:
        gist = (str(error) or type(error).__name__).strip().splitlines()[-1][:GIST_MAX]
        raise OSError(f"{url}: {_remedy(error)}: {gist}") from error


def _errors() -> tuple[type[Exception], ...]:
    """What gcsfs raises; asked for only once it has raised, since importing it takes half a second."""
    from aiohttp import ClientError
    from gcsfs.retry import ChecksumError, HttpError, NonRetryableError  # type: ignore[import-untyped]
    from google.auth.exceptions import GoogleAuthError

    return (OSError, ValueError, ClientError, GoogleAuthError, HttpError, ChecksumError, NonRetryableError)


def _remedy(error: Exception) -> str:
    from gcsfs.retry import NonRetryableError
    from google.auth.exceptions import GoogleAuthError

    code = getattr(error, "code", None)
    if isinstance(error, (GoogleAuthError, NonRetryableError)) or code == 401:
        return "no valid credentials; give the function a service account, or run gcloud auth application-default login"
    if str(error).startswith("Forbidden"):  # also for what is not there, if one may not list
        return "not allowed; grant this account roles/storage.objectUser on the bucket"
    if isinstance(error, ValueError) or code == 400:
        return "refused; correct the name"
    return "Cloud Storage does not answer; call again later, and see that it can be reached"


def remove_unfinished(root: Path) -> None:
    """Remove what a killed writer was putting. For a folder with one writer: nobody else can be at it."""
    for path in root.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def _checked(name: str) -> str:
    """A name like 'nba/2024-01-15/results.json'; ValueError for one that is not, or that would leave the store."""
    parts = name.split("/")
    if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"object name {name[:200]!r}: expected parts like 'nba/2024-01-15/results.json'")
    return name


class BucketObjects:
    """Keeps the promises of ports.ObjectStore in a bucket of Cloud Storage; any number of processes and threads.

    A put is one request, and the service makes it seen whole or not at all. Reads are never cached here; of an object
    that everybody may read the service itself may hand out an old copy, so the bucket is to be a private one.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root

    def put(self, name: str, body: bytes) -> None:
        self._upload(name, body, generation=None)

    def put_over(self, name: str, body: bytes, standing: bytes | None) -> bool:
        found, generation = self._read(name)
        if found != standing:
            return False
        try:
            self._upload(name, body, generation=generation)
        except FileExistsError:  # 412: another generation stands there by now
            return False
        return True

    def get(self, name: str) -> bytes | None:
        return self._read(name)[0]

    def _read(self, name: str) -> tuple[bytes | None, str]:
        """The bytes and their generation, in one request; None and "0", the service's word for it, where none are."""
        path = f"{self._root}/{_checked(name)}"
        with told(f"gs://{path}"):
            try:
                headers, body = self._filesystem.call("GET", self._filesystem.url(path))
            except FileNotFoundError:
                return None, "0"
            return body, headers["x-goog-generation"]

    def _upload(self, name: str, body: bytes, *, generation: str | None) -> None:
        # not pipe_file: it knows no generation but 0, and its multipart boundary is a fixed one that a body may hold
        from gcsfs.core import UnclosableBytesIO

        bucket, _, key = f"{self._root}/{_checked(name)}".partition("/")
        try:
            with told(f"gs://{bucket}/{key}"):
                self._filesystem.call(
                    "POST",
                    self._filesystem.base.replace("/storage/v1/", "/upload/storage/v1/b/{}/o"),
                    bucket,
                    uploadType="media",
                    name=key,
                    ifGenerationMatch=generation,
                    headers={"Content-Type": mimetypes.guess_type(key)[0] or "application/octet-stream"},
                    data=UnclosableBytesIO(body),
                )
        except FileNotFoundError as error:
            raise OSError(f"gs://{bucket}/{key}: there is no bucket {bucket}; create it, or correct the url") from error


class FolderObjects:
    """Keeps the promises of ports.ObjectStore; any number of processes. 'a' and 'a/b' cannot both be objects."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> None:
        path = self._root / _checked(name)
        with _alone_in(path.parent):
            _write(path, body)

    def put_over(self, name: str, body: bytes, standing: bytes | None) -> bool:
        path = self._root / _checked(name)
        with _alone_in(path.parent):
            if self.get(name) != standing:
                return False
            _write(path, body)
            return True

    def get(self, name: str) -> bytes | None:
        try:
            return (self._root / _checked(name)).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other writer in the folder; the kernel lets go of it should this one die."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, body: bytes) -> None:
    # in the same folder, so that the rename stays within one file system
    temporary = path.parent / f".{secrets.token_hex(8)}{UNFINISHED}"
    try:
        with open(temporary, "xb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())  # else a power cut could leave the name with an empty file
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a full disk does not say where
            error.filename = str(path)
        raise


class MemoryObjects:
    """The same promises inside one process, gone with it: for tests."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, name: str, body: bytes) -> None:
        with self._lock:
            self._bodies[_checked(name)] = bytes(body)

    def put_over(self, name: str, body: bytes, standing: bytes | None) -> bool:
        with self._lock:
            if self._bodies.get(_checked(name)) != standing:
                return False
            self._bodies[name] = bytes(body)
            return True

    def get(self, name: str) -> bytes | None:
        return self._bodies.get(_checked(name))
