"""The training loop: one range's network, from scratch or from given weights; it survives being killed."""

from __future__ import annotations

import csv
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from edseg_engine.devices import expect_fixed_sizes, runs_bfloat16
from edseg_engine.errors import TrainingDataError
from edseg_engine.networks.architectures import build
from edseg_engine.networks.card import WeightsCard
from edseg_engine.networks.network import NetworkConfig
from edseg_engine.networks.weights import load_state, readers_of, save_weights
from edseg_engine.resolution import ResolutionRange
from edseg_engine.training.checkpoint import MovingAverage, load_checkpoint, restore, save_checkpoint
from edseg_engine.training.distributed import Ranks
from edseg_engine.training.loss import Losses
from edseg_engine.training.losses import make_loss
from edseg_engine.training.muon import descend, optimizers_of
from edseg_engine.training.options import TrainOptions, learning_rate_factor, schedule_progress
from edseg_engine.training.replay import Replay
from edseg_engine.training.windows import DataOptions, WindowStream

_REPORT_SECONDS = 30.0


class Trainer:
    """Trains the network of one range in `folder`, which holds the checkpoint, the log and the weights.

    Raises
    ------
    TrainingDataError
        If the folder holds a run of another range, network or loss.
    OptionError
        If there is no such loss, or it does not fit the network.
    WeightsError
        If `start_from` cannot be read or is of a network of another shape.
    """

    def __init__(
        self,
        folder: Path,
        resolution_range: ResolutionRange,
        config: NetworkConfig,
        data: DataOptions,
        options: TrainOptions,
        ranks: Ranks,
        start_from: Path | None = None,
    ) -> None:
        self.folder, self.range, self.data, self.options = folder, resolution_range, data, options
        self.loss = make_loss(options, resolution_range, config.points).to(ranks.device)
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.ranks = ranks
        self.device = ranks.device
        expect_fixed_sizes(self.device)
        self.net = build(config).to(self.device)
        self.net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.card, self.readers = WeightsCard(resolution_range, config), dict[str, Tensor]()
        if start_from is not None:
            load_state(self.net, start_from)
        given = self.weights_path if self.checkpoint_path.exists() and self.weights_path.exists() else start_from
        if given is not None and config.points > 1:  # readers of residues need votes for atoms
            self.readers, of_readers = readers_of(given)
            self.card = replace(self.card, frames=of_readers.frames, neighbours=of_readers.neighbours)
        self.trained = nn.ModuleList([self.net, self.loss])
        self.optimizers = optimizers_of(self.trained, options.learning_rate, options.weight_decay, options.muon)
        self.average = MovingAverage(self.net, options.ema)
        self.reduced_precision = runs_bfloat16(self.device)
        self.windows, self.seconds, self.restarts = 0, 0.0, 0
        self.best_score, self.stale = -math.inf, 0
        self.started_from = start_from.name if start_from else None
        if self.checkpoint_path.exists():
            self._resume()

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def weights_path(self) -> Path:
        return self.folder / f"{self.range.name}.safetensors"

    @property
    def best_path(self) -> Path:
        return self.folder / "best.safetensors"

    def _resume(self) -> None:
        saved = load_checkpoint(self.checkpoint_path)
        if saved["range"] != self.range.name or saved["config"] != self.net.config.to_json():
            raise TrainingDataError(
                f"{self.checkpoint_path} belongs to a run of another range or network; choose another folder."
            )
        own = self.options.loss, self.options.chemistry_weight
        if (saved.get("loss", TrainOptions.loss), saved.get("chemistry_weight", 0.0)) != own:
            raise TrainingDataError(
                f"{self.checkpoint_path} belongs to a run with another loss; choose that loss, or another folder."
            )
        restore(saved, self.net, self.average)
        self.loss.load_state_dict(saved.get("loss_state", {}))
        self.windows, self.seconds = saved["windows"], saved["seconds"]
        self.restarts = saved["restarts"] + 1
        self.best_score, self.stale = saved["best_score"], saved["stale"]

    def save(self) -> None:
        """Write the checkpoint, and the averaged weights with the readers of residues of those that it started from."""
        values = {
            "range": self.range.name,
            "config": self.net.config.to_json(),
            "loss": self.options.loss,
            "chemistry_weight": self.options.chemistry_weight,
            "loss_state": self.loss.state_dict(),
            "windows": self.windows,
            "seconds": self.seconds,
            "restarts": self.restarts,
            "best_score": self.best_score,
            "stale": self.stale,
        }
        save_checkpoint(self.checkpoint_path, self.net, self.average, values)
        card = replace(
            self.card,
            training={
                "windows": self.windows,
                "options": asdict(self.options),
                "experimental_share": self.data.experimental_share if self.data.experimental else 0.0,
                "crystal_share": self.data.crystal_share,
                "noise_free_share": self.data.noise_free_share,
                "poor_phases_share": self.data.poor_phases_share,
                "cryo_em_share": self.data.cryo_em_share,
                "simulation": asdict(self.data.simulation),
                "started_from": self.started_from,
            },
        )
        save_weights(self.average.state | self.readers, card, self.weights_path)

    @property
    def progress(self) -> float:
        """Part of the schedule that is done; 1 at its end."""
        return schedule_progress(self.windows, self.seconds, self.options)

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        stream = WindowStream(self.data, self.range, (self.options.seed, self.restarts, self.ranks.rank))
        loader = DataLoader(
            stream,
            batch_size=self.options.batch // self.options.replay,
            num_workers=self.options.workers,
            prefetch_factor=4 if self.options.workers else None,
            pin_memory=self.device.type == "cuda",
        )
        batches = ({k: v.to(self.device, non_blocking=True) for k, v in batch.items()} for batch in loader)
        return batches if self.options.replay == 1 else Replay(batches, self.options.replay, spacing=self.range.spacing)

    def run(
        self, report: Callable[[dict[str, float]], None], validate: Callable[[Path, int], float] | None = None
    ) -> None:
        """Train until the schedule is at its end or `options.patience` is at its end.

        Parameters
        ----------
        report
            Gets the columns of the log about twice a minute.
        validate
            Gets the weights file and the windows seen, every `options.validate_every` windows, at the end, and at the
            beginning where training starts from weights; returns their score. Only the first process of a shared run
            calls these two.
        """
        options, first = self.options, self.ranks.is_first
        if first:
            (self.folder / "options.json").write_text(json.dumps(asdict(options), indent=1) + "\n")
        net, loss = self.ranks.shared(self.net), self.ranks.shared(self.loss)
        if options.compiled:
            net = torch.compile(net, dynamic=False)  # type: ignore[assignment]
        if first and validate and self.started_from and not self.windows:
            # What a run starts from may be the best that it has.
            self.save()
            self._out_of_patience(validate)
        batches = self._batches()
        last_save = last_report = last_step = time.monotonic()
        columns = ("loss", *self.loss.terms, "voxel_accuracy")
        sums, steps, done, stopped = torch.zeros(len(columns), device=self.device), 0, 0, False
        self.net.train()
        if options.frozen_statistics:
            self.net.freeze_statistics()
        while not stopped and self.progress < 1:
            rate = options.learning_rate * learning_rate_factor(self.progress, done, options)
            sums += self._step(net, loss, next(batches), rate)
            steps, done = steps + 1, done + 1
            before, self.windows = self.windows, self.windows + options.batch * self.ranks.size
            self.average.update(self.net)
            now = time.monotonic()
            self.seconds, last_step = self.seconds + now - last_step, now
            if first and now - last_report > _REPORT_SECONDS:
                means = dict(zip(columns, (sums / steps).tolist(), strict=True))
                speed = steps * options.batch * self.ranks.size / (now - last_report)
                row = {"windows": self.windows, **means, "learning_rate": rate, "windows_per_second": speed}
                append_row(self.folder / "log.csv", row)
                report(row)
                sums.zero_()
                steps, last_report = 0, now
            due = self.windows // options.validate_every > before // options.validate_every
            if first and ((due and validate) or now - last_save > options.checkpoint_seconds):
                self.save()
                last_save = now
            if due and self.progress < 1:
                stopped = self.ranks.agree(first and self._out_of_patience(validate))
        if first:
            if not stopped:
                self.save()
                self._out_of_patience(validate)
            if options.patience and self.best_path.exists():
                shutil.copy(self.best_path, self.weights_path)

    def _out_of_patience(self, validate: Callable[[Path, int], float] | None) -> bool:
        """Validate the weights file, keep it if it is the best so far; returns whether training should stop."""
        if validate is None:
            return False
        score = validate(self.weights_path, self.windows)
        self.stale += 1
        if score > self.best_score:
            self.best_score, self.stale = score, 0
            shutil.copy(self.weights_path, self.best_path)
        return 0 < self.options.patience <= self.stale

    def _step(self, net: nn.Module, loss: nn.Module, batch: dict[str, Tensor], rate: float) -> Tensor:
        """Take one step; returns the total loss, its terms and the voxel accuracy."""
        for group in (g for optimizer in self.optimizers for g in optimizer.param_groups):
            group["lr"] = rate
        density = batch["density"].contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.reduced_precision):
            scores, offsets = net(density)
        losses: Losses = loss(scores, offsets, batch)
        descend(self.trained, self.optimizers, losses.total)
        return torch.stack([losses.total, *losses.terms.values(), losses.accuracy]).detach()


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Append `row` to a CSV file, with a header if the file is new."""
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
