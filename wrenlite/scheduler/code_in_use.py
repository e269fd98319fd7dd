"""The code of one job, as its queue sees it."""

from __future__ import annotations

from wrenlite.protocol import code_key
from wrenlite.storage.uploads import JobCode


class CodeInUse:
    """The code of one job: how it reaches the workers, and whether it is in the store."""

    def __init__(self, code: JobCode) -> None:
        """Begin with the code of a new job."""
        self.now = code
        """What the next requests need."""
        self.keys = set(map(code_key, code.digests))
        """Where the code of its requests is stored, earlier ones too."""
        self.storing = len(code.uploads)
        """Uploads that have not ended. Only requests that carry the code are sent meanwhile."""
        self.restores = 0
        """How many times it was put into the store again."""
        self._vain_restores = 0
        self._carried_bytes = 0

    def change(self, code: JobCode) -> None:
        """Change the code for the next requests."""
        self.now = code
        self.keys.update(map(code_key, code.digests))
        self.storing += len(code.uploads)

    def needs_store(self, most_bytes: int | None) -> bool:
        """Return whether a worker may need the store to run the next request.

        Args:
            most_bytes: the most bytes of code that all requests of a job carry; None: no limit.
        """
        return not (self.now.is_complete and self._has_room(most_bytes))

    def take(self, most_bytes: int | None) -> tuple[bytes, ...]:
        """Return the code that the next request carries. It counts towards the most bytes of all requests."""
        if not self._has_room(most_bytes):
            return ()
        self._carried_bytes += self.now.size
        return self.now.carried

    def _has_room(self, most_bytes: int | None) -> bool:
        return most_bytes is None or self._carried_bytes + self.now.size <= most_bytes

    def begin_restore(self) -> int:
        """Record that the code is being put into the store again.

        Returns:
            How many times it was already put there again since it was last found.
        """
        self.storing += 1
        self.restores += 1
        self._vain_restores += 1
        return self._vain_restores - 1

    def forget_vain_restores(self) -> None:
        """Begin to count anew: a request that was sent after the last restore has found the code."""
        self._vain_restores = 0
