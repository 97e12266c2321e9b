"""Free space on the file system of the store, and who may still use it.

`[storage] min_free_gb` is not available to new objects. Computing and reporting may use it, all but a tenth: that is
left to the ledger, which must be able to say that the disk is full.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from config.errors import StorageFullError

BYTES_PER_GB = 1_000_000_000
LEDGER_SHARE = 0.1  # of the configured free space
CACHED_FOR_S = 0.25  # asking the file system for each object would cost as much as reading its header


class FreeSpace:
    """The free space of one file system; threads share it.

    Parameters
    ----------
    root : Path
        Any folder of the file system.
    min_free_gb : float
        Gigabytes (10^9 bytes) that new objects leave free.
    """

    def __init__(self, root: Path, min_free_gb: float) -> None:
        self._file_system = root
        self._min_free_bytes = round(min_free_gb * BYTES_PER_GB)
        self._cached = (float("-inf"), 0)  # when, bytes

    def free_bytes(self) -> int:
        """Return the bytes that this program may still write.

        Returns
        -------
        int
            Without blocks that are reserved for root.
        """
        return shutil.disk_usage(self._file_system).free

    def has_room(self, size_bytes: int = 0) -> bool:
        """Return whether a new object of this size leaves the configured space free.

        Parameters
        ----------
        size_bytes : int
            Size of the object; 0 where it is not known yet.

        Returns
        -------
        bool
            From a number that may be `CACHED_FOR_S` old, which objects that arrive together can exceed a little.
        """
        return self._free_bytes_lately() - size_bytes >= self._min_free_bytes

    def has_room_for_work(self) -> bool:
        """Return whether accepted studies may still be computed and reported.

        Returns
        -------
        bool
            False only when all but a tenth of ``min_free_gb`` is used up, too.
        """
        return self._free_bytes_lately() >= self._min_free_bytes * LEDGER_SHARE

    def require_room_for_work(self) -> None:
        """Check that there is enough space to compute and report.

        Raises
        ------
        StorageFullError
            There is not; the text says how much is free and how much is needed.
        """
        if not self.has_room_for_work():
            raise StorageFullError(
                f"the storage is full: {self.free_bytes() / BYTES_PER_GB:.3f} GB are free, computing needs more than "
                f"{self._min_free_bytes * LEDGER_SHARE / BYTES_PER_GB:.3f} GB"
            )

    def _free_bytes_lately(self) -> int:
        checked_at, free = self._cached
        if time.monotonic() - checked_at > CACHED_FOR_S:
            free = self.free_bytes()
            # Time and number in one assignment: threads share the object without a lock.
            self._cached = (time.monotonic(), free)
        return free
