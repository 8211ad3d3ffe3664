"""What the parts of gpu.py share: how large everything is, data, and times taken on the device."""

import time
from functools import cached_property
from typing import Any

import torch
from harness import Task, orders
from peers import CLASSES

from mixlab.data.dataset import Dataset, Split

Row = dict[str, Any]


class Scene:
    """How large everything is, where it runs, and until when."""

    def __init__(self, minutes: float, *, rehearsed: bool) -> None:
        self.rehearsed = rehearsed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.end = time.monotonic() + 60 * minutes

    def pick(self, real: Any, tiny: Any) -> Any:
        """The size for a measurement, or for a rehearsal."""
        return tiny if self.rehearsed else real

    @property
    def left(self) -> float:
        """Seconds until the time is over."""
        return self.end - time.monotonic()

    @cached_property
    def noise(self) -> Dataset:
        """As many random images as CIFAR-10 has, which cost what its own do."""
        stream = torch.Generator().manual_seed(0)

        def split(count: int) -> Split:
            pixels = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=stream)
            return Split(pixels, torch.arange(count) % CLASSES)

        train, test = self.pick((50_000, 10_000), (64, 20))
        return Dataset("noise", split(train), split(test), tuple(map(str, range(CLASSES))))

    def wait(self) -> None:
        """Until the device has done all."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, tasks: dict[Any, Task], rounds: int, calls: int) -> dict[Any, list[float]]:
        """Seconds of one call of each task, from `calls` in a row, once in each round; they take turns."""
        seconds: dict[Any, list[float]] = {name: [] for name in tasks}
        for round_, order in enumerate(orders(tasks, rounds + 1)):
            for name in order:
                spent = self._span(tasks[name], calls)
                if round_:  # the first round chooses kernels
                    seconds[name].append(spent / calls)
        return seconds

    def _span(self, task: Task, calls: int) -> float:
        if self.device.type != "cuda":
            began = time.perf_counter()
            for _ in range(calls):
                task()
            return time.perf_counter() - began
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        first.record()
        for _ in range(calls):
            task()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) / 1e3

    def graphed(self, tasks: dict[str, Task]) -> dict[str, Task]:
        """The same tasks, each as a CUDA graph; none of them without CUDA."""
        if self.device.type != "cuda":
            return {}
        replays = {}
        for name, task in tasks.items():
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                task()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                task()
            replays[f"{name}, graph"] = graph.replay
        return replays
