"""Tasks on a Dask cluster, through joblib: a cluster that goes away is an error, and no wait for ever.

joblib's own backend waits for ever for a task that Dask has given up, and where no workers are left.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

from distributed import Client
from joblib._dask import DaskDistributedBackend

from mixlab._check import shown
from mixlab._files import first_line

PATIENCE = 60.0
"""Seconds that a cluster may be without any worker: enough for one that is started anew."""

ANSWER = 10.0
"""Seconds that a scheduler has for its answer."""

_PULSE = 1.0

Callback = Callable[[Any], Any]


class ClusterLostError(ConnectionError):
    """The cluster went away, or has no workers: the message says which."""


def connected(cluster: Any) -> tuple[Client, bool]:
    """The Client of a cluster, and whether it was made here from an address, to be closed afterwards.

    Raises TypeError for what is neither Client nor address, and ClusterLostError if no scheduler answers.
    """
    wanted = "cluster must be a dask.distributed.Client or the address of a scheduler, got "
    if isinstance(cluster, str):
        try:
            return Client(cluster, set_as_default=False, timeout=ANSWER), True  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise ClusterLostError(f"{wanted}{shown(cluster)}, where none answers ({first_line(error)})") from None
    if not isinstance(cluster, Client):
        raise TypeError(wanted + shown(cluster))
    if cluster.asynchronous:
        raise TypeError(f"{wanted}a Client with asynchronous=True")
    if cluster.status != "running":
        raise ClusterLostError(f"{wanted}a Client that is {cluster.status}")
    return cluster, False


class WatchedCluster(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
    """joblib's Dask backend, whose tasks end in an error when no cluster is left to end them."""

    def __init__(self, client: Client) -> None:
        super().__init__(client=client, wait_for_workers_timeout=0)  # they are waited for below
        self._waiting: dict[Future[Any], Callback] = {}
        self._stopped = threading.Event()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """The cluster's threads; two at least, since joblib would run a lone job in the process that asks for it."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def start_call(self) -> None:
        """Begin to collect results, and to look after the cluster."""
        super().start_call()
        threading.Thread(target=self._watch, name="mixlab-cluster", daemon=True).start()

    def stop_call(self) -> None:
        """End both."""
        self._stopped.set()
        super().stop_call()

    def submit(self, func: Callable[[], Any], callback: Callback) -> Future[Any]:
        """Hand a task to the cluster; `callback` hears of its end, also where Dask gives it up."""
        future: Future[Any] = super().submit(func, callback)
        self._waiting[future] = callback
        future.add_done_callback(self._ended)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """What the task returned; raises what it raised, or what became of it."""
        if isinstance(out, CancelledError):
            raise ClusterLostError("its scheduler was closed, or dropped what it was given")
        return super().retrieve_result_callback(out)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Take back what no worker has begun; what one has begun goes on to its end there."""
        for future in list(self._results):
            future.release()
        super().abort_everything(ensure_ready)

    def _ended(self, future: Future[Any]) -> None:
        callback = self._waiting.pop(future)
        if (error := future.exception()) is not None:
            callback(error)

    def _watch(self) -> None:
        """End all tasks in an error once the scheduler does not answer, or has had no workers for too long."""
        seen, reason = time.monotonic(), ""
        while not reason and not self._stopped.wait(_PULSE):
            if self._has_workers():
                seen = time.monotonic()
            elif self.client.status != "running":
                reason = "its scheduler does not answer"
            elif time.monotonic() - seen > PATIENCE:
                reason = f"it has had no workers for {PATIENCE:g} s"
        for callback in list(self._waiting.values()) if reason else []:
            callback(ClusterLostError(reason))

    def _has_workers(self) -> bool:
        try:
            return bool(self.client.ncores())
        except Exception:  # noqa: BLE001  # of many kinds, an AttributeError of a closed client among them
            return False
