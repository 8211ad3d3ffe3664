"""Tasks on a Dask cluster, through joblib. A cluster that goes away is an error.

joblib's own backend waits forever for a task that Dask has given up, and where no workers are left.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from typing import Any

import dask
from distributed import Client
from joblib._dask import DaskDistributedBackend

from mixlab._check import shown
from mixlab._files import first_line

PATIENCE = 60.0  # seconds that a cluster may be without any worker: enough for one that is started anew
ANSWER = 10.0  # seconds that a scheduler has for its answer


class ClusterLostError(ConnectionError):
    """The cluster went away, or has no workers: the message says which."""


@contextmanager
def connected(cluster: Any) -> Iterator[Client]:
    """The Client of a cluster; one that is made from an address is closed at the end of the block.

    Raises TypeError for what is neither Client nor address, and ClusterLostError if no scheduler answers.
    """
    wanted = "cluster must be a dask.distributed.Client or the address of a scheduler, got "
    if isinstance(cluster, str):
        try:
            client = Client(cluster, set_as_default=False, timeout=ANSWER)  # type: ignore[no-untyped-call]
        except (OSError, ValueError) as error:
            raise ClusterLostError(f"{wanted}{shown(cluster)}, where none answers ({first_line(error)})") from None
        with client:
            yield client
        return
    if not isinstance(cluster, Client):
        raise TypeError(wanted + shown(cluster))
    if cluster.status != "running":
        raise ClusterLostError(f"{wanted}a Client that is {cluster.status}")
    yield cluster


class WatchedCluster(DaskDistributedBackend):  # type: ignore[misc]  # joblib has no types
    """joblib's Dask backend, whose tasks end in an error when no cluster is left to end them.

    `data` goes to the workers as what a task gave, not by Dask's scatter: a copy that a worker takes to its grave is
    then made anew, and scattered data would be lost. (Dask drops all copies but one within seconds.)
    """

    def __init__(self, client: Client, data: Any) -> None:
        client.wait_for_workers(1, timeout=PATIENCE)
        super().__init__(client=client, wait_for_workers_timeout=0)  # they are waited for above
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):  # the data is to be sent
            self.data_futures: dict[int, Any] = {id(data): client.submit(list, data, pure=False)}
        self._stopped = threading.Event()

    def effective_n_jobs(self, n_jobs: int) -> int:
        """The cluster's threads; at least two, since joblib would run a lone job in the process that asks for it."""
        return max(2, int(super().effective_n_jobs(n_jobs)))

    def start_call(self) -> None:
        """Begin to collect results, and to watch the cluster."""
        super().start_call()
        threading.Thread(target=self._watch, name="mixlab-cluster", daemon=True).start()

    def stop_call(self) -> None:
        """End both."""
        self._stopped.set()
        super().stop_call()

    def submit(self, func: Callable[[], Any], callback: Callable[[Any], Any]) -> Future[Any]:
        """Hand a task to the cluster; `callback` gets its result, or the error if Dask gives it up."""
        future: Future[Any] = super().submit(func, callback)
        future.add_done_callback(lambda ended: callback(ended.exception()) if ended.exception() else None)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """What the task returned; raises what it raised, or what became of it."""
        if isinstance(out, CancelledError):
            raise ClusterLostError("the cluster's scheduler was closed, or dropped what it was given")
        return super().retrieve_result_callback(out)

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Take back what no worker has begun; what one has begun goes on to its end there."""
        for future in list(self._results):
            future.release()
        super().abort_everything(ensure_ready)

    def _watch(self) -> None:
        """End all tasks in an error once there have been no workers, or no scheduler that tells of them, for long."""
        seen = time.monotonic()
        while not self._stopped.wait(1) and time.monotonic() - seen < PATIENCE:
            with suppress(Exception):  # of many kinds, an AttributeError of a closed client among them
                seen = time.monotonic() if self.client.ncores() else seen
        for future in [] if self._stopped.is_set() else list(self._results.values()):
            future.set_exception(ClusterLostError(f"the cluster has had no workers for {PATIENCE:g} s"))
