"""One folder for a study, on a disk or on object storage; its files appear whole or not at all.

On a disk a file is written under a temporary name that begins with a dot (readers ignore those),
synced, and renamed; the folder is synced too. On object storage an object becomes visible only
when its stream is closed, so that a plain write is atomic and nothing is renamed.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa
from pyarrow import fs

from hscl.errors import InputError
from hscl.files import expanded, whole_or_nothing, write_whole
from hscl.uris import refuse_credentials

__all__ = ["Folder", "open_folder"]

_BLOCK = 1 << 22  # bytes of a copy in memory at a time
_S3_CLOSE = {"allow_delayed_open": "true"}  # a small object is one request instead of three


@dataclass(frozen=True)
class Folder:
    """A folder that pyarrow's file systems open; names are relative to it, with slashes.

    Attributes:
        filesystem: The pyarrow file system.
        path: The folder's path inside the file system.
        uri: What the user wrote; for messages and for opening it again elsewhere.
        local: The same folder on this machine's disk, None on object storage.
    """

    filesystem: fs.FileSystem
    path: str
    uri: str
    local: Path | None

    def child(self, name: str) -> "Folder":
        """The folder below this one; it need not exist yet."""
        uri, mark, query = self.uri.partition("?")
        local = None if self.local is None else self.local / name
        where = f"{uri.rstrip('/')}/{name}" + mark + query
        return Folder(self.filesystem, self.full(name), where, local)

    def full(self, name: str) -> str:
        """The name as the file system wants it."""
        return str(PurePosixPath(self.path) / name)

    def write(self, name: str, data: bytes | pa.Buffer, *, synced: bool = True) -> None:
        """Put a whole file in place, replacing one of the same name.

        An OSError of the disk or the storage passes through; no half file is left behind.

        Args:
            name: The file's.
            data: All of it.
            synced: Once this returns, it is there after a power cut too; not synced it costs
                next to nothing, and after a power cut it may be the one before or damaged.
        """
        if self.local is None:
            with self.filesystem.open_output_stream(self.full(name)) as stream:
                stream.write(data)
            return
        path = self.local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if synced:
            write_whole(path, memoryview(data))
            return
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(data)
        part.replace(path)

    def copy_to(self, name: str, target: Path) -> None:
        """Bring a file to this machine's disk, whole or not at all.

        Args:
            name: The file's.
            target: Where it will stand; its folder is made.

        An OSError of either side passes through; FileNotFoundError where there is no such file.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            self.open(name) as stream,
            whole_or_nothing(target) as part,
            part.open("wb") as file,
        ):
            while block := stream.read(_BLOCK):
                file.write(block)

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError where there is no such file."""
        with self.filesystem.open_input_stream(self.full(name)) as stream:
            content: bytes = stream.read()
        return content

    def open(self, name: str) -> pa.NativeFile:
        """The file, opened for random access; FileNotFoundError where there is none."""
        return self.filesystem.open_input_file(self.full(name))

    def exists(self, name: str = "") -> bool:
        """Whether a file or folder of this name is there."""
        return bool(self.filesystem.get_file_info(self.full(name)).type != fs.FileType.NotFound)

    def files(self, name: str = "") -> dict[str, int]:
        """Names (without folders) and sizes in bytes of the files directly in a folder."""
        selector = fs.FileSelector(self.full(name), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return {info.base_name: info.size for info in found if info.type == fs.FileType.File}

    def folders(self, name: str = "") -> list[str]:
        """Names of the folders directly in a folder, sorted."""
        selector = fs.FileSelector(self.full(name), allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(i.base_name for i in found if i.type == fs.FileType.Directory)

    def delete(self, name: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(self.full(name))

    def delete_folder(self, name: str) -> None:
        """Remove a folder with all that is in it; one that is gone already is no error."""
        with suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.full(name))


def open_folder(where: str | Path) -> Folder:
    """Open a folder by path or URI; nothing is created.

    Args:
        where: A path, or a URI such as `s3://bucket/run` or `gs://bucket/run`.

    Returns:
        The folder.

    Raises:
        InputError: If the URI carries credentials (it would end up in tables and logs), has a
            scheme that pyarrow does not know or a fragment, or its storage does not answer; or a
            path begins with the home of nobody.
    """
    text = str(where)
    if "://" not in text:
        local = expanded(text).absolute()
        return Folder(fs.LocalFileSystem(), str(local), text, local)
    refuse_credentials(text)
    if "#" in text:  # pyarrow would open what stands before it
        raise InputError(
            f"{text} must be the URI of a folder, whose path holds no '#'; write %23 for it"
        )
    try:
        parts = urlsplit(text)
        query = dict(parse_qsl(parts.query))
        if parts.scheme == "s3":
            query = _S3_CLOSE | query
        address = urlunsplit(parts._replace(query=urlencode(query)))
        filesystem, path = fs.FileSystem.from_uri(address)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        message = f"{text} must be a folder that pyarrow can open, but: {reason}"
        raise InputError(message) from error
    on_disk = isinstance(filesystem, fs.LocalFileSystem)
    return Folder(filesystem, path, text, Path(path) if on_disk else None)
