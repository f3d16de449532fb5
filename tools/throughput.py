"""How fast training is, and what makes it so, variants of a step side by side: ``python -m tools.throughput``."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from edseg_engine.cli.arguments import device_parser
from edseg_engine.devices import choose_device, expect_fixed_sizes, runs_bfloat16
from edseg_engine.networks.stacknet import StackNet, StackNetConfig
from edseg_engine.resolution import ResolutionRange, range_by_name
from edseg_engine.training.cross_entropy import CrossEntropyLoss
from edseg_engine.training.loss import frame_weights
from edseg_engine.training.muon import descend, optimizers_of
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.windows import DataOptions, WindowStream
from tools.command import run_tool

_BATCH = {"cpu": 4, "cuda": 32}
_ROUNDS = 5
#: Windows that a stream gives before it is timed: until its pool is full it makes a crystal for each of them.
_FILLING = 64
_MATRIX = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True)
class Variant:
    """One way to take a training step; `samples` are the voxels of each window that the losses look at."""

    name: str
    bfloat16: bool = True
    channels_last: bool = True
    samples: int = TrainOptions.samples
    compiled: bool = False


#: From the plainest to what `edseg train` does, and what it can do on request.
VARIANTS = (
    Variant("float32, losses over all voxels with density", False, False, 10**9),
    Variant("float32, channels last, sampled losses (edseg train without bfloat16)", False, True),
    Variant("bfloat16", True, False, 10**9),
    Variant("bfloat16, channels last", True, True, 10**9),
    Variant("bfloat16, channels last, sampled losses (edseg train)"),
    Variant("the same, compiled (edseg train --compile)", compiled=True),
)


@dataclass(frozen=True)
class Throughput:
    """What was measured.

    Attributes
    ----------
    windows_per_second
        Of each variant, its best round.
    made_per_second
        Windows that one worker process makes.
    flops_per_window
        Floating-point operations of the convolutions of a training step, per window.
    peak
        Floating-point operations per second of a large matrix product on the same device and threads, in bfloat16 where
        the device computes in it.
    """

    windows_per_second: dict[str, float]
    made_per_second: float
    flops_per_window: float
    peak: float


def measure_throughput(
    data: DataOptions,
    resolution_range: ResolutionRange,
    device: torch.device,
    report: Callable[[str], None],
    variants: tuple[Variant, ...] = VARIANTS,
) -> Throughput:
    """Time the variants on the same windows, in turns, so that a busy moment of the machine strikes all of them.

    Those in bfloat16 are left out where the device would have to emulate it, which takes minutes for a window.
    """
    reduced = runs_bfloat16(device)
    variants = tuple(variant for variant in variants if reduced or not variant.bfloat16)
    expect_fixed_sizes(device)
    size = _BATCH[device.type]
    stream = iter(WindowStream(data, resolution_range, (1,)))
    report("making windows")
    batches = training_batches(stream, size, device)
    start = time.perf_counter()
    list(itertools.islice(stream, _FILLING))
    made = _FILLING / (time.perf_counter() - start)
    frame = frame_weights(resolution_range.window, resolution_range.frame / resolution_range.spacing).to(device)
    steps = {v.name: _Step(v, frame, device) for v in variants}
    flops = steps[variants[0].name].flops(batches[0]) / size
    for name, step in steps.items():
        report(f"warming up: {name}")
        step(batches[0])
    best = dict.fromkeys(steps, 0.0)
    for number in range(_ROUNDS):
        report(f"round {number + 1} of {_ROUNDS}")
        for name, step in steps.items():
            seconds = _timed(lambda step=step: [step(batch) for batch in batches], device)  # type: ignore[misc]
            best[name] = max(best[name], size * len(batches) / seconds)
    return Throughput(best, made, flops, _peak(device, torch.bfloat16 if reduced else torch.float32))


def training_batches(
    stream: Iterator[dict[str, Tensor]], size: int, device: torch.device, n: int = 2
) -> list[dict[str, Tensor]]:
    """Return `n` batches of `size` windows from a stream whose pool is full."""
    windows = list(itertools.islice(stream, max(_FILLING, n * size)))[-n * size :]
    return [
        {k: torch.stack([w[k] for w in windows[i : i + size]]).to(device) for k in windows[0]}
        for i in range(0, len(windows), size)
    ]


class _Step:
    def __init__(self, variant: Variant, frame: Tensor, device: torch.device) -> None:
        torch.manual_seed(1)
        self.variant, self.frame, self.device = variant, frame, device
        self.net = StackNet(StackNetConfig()).to(device)
        self.layout = torch.channels_last_3d if variant.channels_last else torch.contiguous_format
        self.net.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.optimizers = optimizers_of(self.net, 1e-4, 0.0)
        self.run: Callable[[Tensor], tuple[Tensor, Tensor]] = torch.compile(self.net) if variant.compiled else self.net

    def _loss(self, batch: dict[str, Tensor]) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.variant.bfloat16):
            scores, offsets = self.run(batch["density"].contiguous(memory_format=self.layout))
        return CrossEntropyLoss(self.frame, self.variant.samples)(scores, offsets, batch).total

    def __call__(self, batch: dict[str, Tensor]) -> None:
        descend(self.net, self.optimizers, self._loss(batch))

    def flops(self, batch: dict[str, Tensor]) -> float:
        with FlopCounterMode(display=False) as counter:
            self._loss(batch).backward()  # type: ignore[no-untyped-call]
        return float(counter.get_total_flops())


def _timed(work: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def _peak(device: torch.device, precision: torch.dtype) -> float:
    n = _MATRIX[device.type]
    a, b = (torch.randn(n, n, device=device).to(precision) for _ in range(2))
    seconds: Iterator[float] = (_timed(lambda: a @ b, device) for _ in range(10))
    return 2 * n**3 / min(seconds)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool with `argv` and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.throughput",
        parents=[device_parser()],
        description="Time a training step in several forms, side by side, and the making of windows.",
    )
    parser.add_argument("--structures", type=Path, required=True, help="folder of structures, as for edseg train")
    parser.add_argument("--experimental", type=Path, help="folder of experimental crystals, as for edseg train")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave out the compiled form, which needs a C++ compiler"
    )
    return run_tool(parser, run, argv)


def run(args: argparse.Namespace) -> None:
    """Measure and print a table."""
    torch.set_num_threads(args.threads)
    result = measure_throughput(
        DataOptions(args.structures, args.experimental),
        range_by_name("high"),
        choose_device(args.device),
        lambda text: print(text, file=sys.stderr, flush=True),
        tuple(v for v in VARIANTS if not (v.compiled and args.no_compile)),
    )
    plain = result.windows_per_second[VARIANTS[0].name]
    print("| step | windows / s | ratio | share of the peak |")
    print("| --- | ---: | ---: | ---: |")
    for name, speed in result.windows_per_second.items():
        share = speed * result.flops_per_window / result.peak
        print(f"| {name} | {speed:.2f} | {speed / plain:.2f} | {share:.0%} |")
    print()
    print(
        f"A window costs {result.flops_per_window / 1e9:.0f} GFLOP; the peak, a large matrix product, is "
        f"{result.peak / 1e9:.0f} GFLOP/s. A worker makes {result.made_per_second:.1f} windows / s."
    )


if __name__ == "__main__":
    sys.exit(main())
