"""A folder that one run at a time writes to."""

import atexit
import contextlib
import json
import os
import pathlib
import socket
import threading
import time
import warnings

# Seconds between two signs of life of an owner, and those without one after which another host's is gone.
HEARTBEAT, PATIENCE = 10.0, 45.0


class FolderLock:
    """A file `lock.json` that names the process that writes to a folder.

    A process that ended without removing its file is told apart: on the same host by its number and start
    time, on another host because it no longer touches the file. A process may lock a folder several times.

    Args:
        folder: the folder.

    Raises:
        ValueError: from `acquire`, if another process holds the folder.

    Example:
        >>> import pathlib, tempfile
        >>> from kerassl.callbacks.folder_lock import FolderLock
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lock = FolderLock(pathlib.Path(folder))
        ...     lock.acquire()
        ...     print(sorted(path.name for path in pathlib.Path(folder).iterdir()))
        ...     lock.release()
        ['lock.json']
    """

    _held: dict[pathlib.Path, int] = {}

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / "lock.json"
        self._ended = threading.Event()

    def acquire(self) -> None:
        """Locks the folder, which must be there, for this process."""
        key = self.path.absolute()
        if self._held.get(key):
            self._held[key] += 1
            return
        # Twice: the file of a process that is gone may be removed by another that takes its place.
        for _ in range(2):
            if self._create():
                break
            owner = self.owner()
            if owner:
                self._refuse(owner)
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()
        else:
            self._refuse(self._read() or {"host": "?", "pid": "?", "started": "?"})
        self._held[key] = 1
        self._ended = threading.Event()
        atexit.register(self.release)
        threading.Thread(target=self._beat, args=(self._ended,), daemon=True).start()

    def release(self) -> None:
        """Unlocks the folder as often as it was locked; nothing happens if it is not."""
        key = self.path.absolute()
        count = self._held.pop(key, 0)
        if count > 1:
            self._held[key] = count - 1
        elif count:
            self._ended.set()
            atexit.unregister(self.release)
            # Not the file of the parent, in a fork of its process.
            if (self._read() or {}).get("pid") == os.getpid():
                self.path.unlink(missing_ok=True)

    def owner(self) -> dict | None:
        """The other process that holds the folder, `{"host", "pid", "started"}`, or `None`."""
        found = self._read()
        if found is None or (found["host"], found["pid"]) == (socket.gethostname(), os.getpid()):
            return None
        if found["host"] == socket.gethostname() and os.name == "posix":
            return found if _start_of(found["pid"]) in (found["ticks"], True) else None
        return found if self._is_touched() else None

    def _create(self) -> bool:
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        me = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "ticks": _start_of(os.getpid()),
        }
        with os.fdopen(descriptor, "w") as file:
            json.dump(me, file)
        return True

    def _read(self) -> dict | None:
        """The file's content; one that is being written is waited for, one that is broken is nobody's."""
        for _ in range(10):
            try:
                found = json.loads(self.path.read_text())
                return {name: found[name] for name in ("host", "pid", "started", "ticks")}
            except FileNotFoundError:
                return None
            except (ValueError, TypeError, KeyError, IsADirectoryError):
                time.sleep(0.02)
        return None

    def _is_touched(self) -> bool:
        """Whether the owner gives a sign of life while it is waited for."""
        try:
            before = self.path.stat().st_mtime_ns
            warnings.warn(
                f"{self.path} is of a process on another host. Waiting {PATIENCE:.0f} seconds for a sign of "
                "its life.",
                stacklevel=4,
            )
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                time.sleep(min(1.0, PATIENCE / 10))
                if self.path.stat().st_mtime_ns != before:
                    return True
        except FileNotFoundError:
            return False
        return False

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                os.utime(self.path)

    def _refuse(self, owner: dict) -> None:
        raise ValueError(
            f"{self.path.parent} is in use by process {owner['pid']} on {owner['host']}, since "
            f"{owner['started']}. Wait for it, stop it, or choose another folder. If it is gone, delete "
            f"{self.path}."
        )


def _start_of(pid: int) -> int | bool | None:
    """When a process of this host began, in ticks; `True` if that is not known, `None` if none runs."""
    try:
        # The name, in parentheses, may hold anything. One that has ended waits for its parent as a Z.
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state[0] in "ZX" else int(state[19])
    except (OSError, ValueError, IndexError):
        if os.name != "posix" or pathlib.Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        return True
    return True
