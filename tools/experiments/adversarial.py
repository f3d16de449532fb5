"""The training of a generator for super-resolution: reconstruction, adversary and a downstream task (figure 7.1)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from edseg_engine.devices import runs_bfloat16
from edseg_engine.errors import TrainingDataError
from edseg_engine.networks.network import Network
from edseg_engine.resolution import ResolutionRange
from edseg_engine.training.checkpoint import MovingAverage, load_checkpoint, restore, save_checkpoint
from edseg_engine.training.loop import append_row
from edseg_engine.training.losses import make_loss
from edseg_engine.training.muon import descend, optimizers_of
from edseg_engine.training.options import TrainOptions, learning_rate_factor, schedule_progress
from edseg_engine.training.windows import DataOptions
from tools.experiments.generator import Discriminator, Generator, frozen, structural_similarity
from tools.experiments.pairs import PairStream

_REPORT_SECONDS = 30.0
#: Windows of a batch that the frozen network reads: each costs five times as much as in the generator.
_READ = 1
_COLUMNS = ("loss", "l1", "similarity", "adversarial_loss", "class_loss", "discriminator_loss")


@dataclass(frozen=True)
class LossWeights:
    """Weights beside the reconstruction losses, whose weights are one: L1, and one minus the structural similarity.

    Attributes
    ----------
    adversarial
        Of the squared distance from one of the discriminator's score (least squares; Mao et al. 2017).
    downstream
        Of the class loss of the frozen network that reads the generated density.
    """

    adversarial: float
    downstream: float


class GeneratorTrainer:
    """Trains a generator in `folder`, which holds the checkpoint and the log; killed and started again, it goes on.

    Parameters
    ----------
    reader
        The network that reads fine maps; it is not trained.

    Raises
    ------
    TrainingDataError
        If the folder holds a run with other losses.
    """

    def __init__(
        self,
        folder: Path,
        resolution_range: ResolutionRange,
        reader: Network,
        data: DataOptions,
        options: TrainOptions,
        weights: LossWeights,
        device: torch.device,
    ) -> None:
        self.folder, self.range, self.data, self.options = folder, resolution_range, data, options
        self.weights, self.device = weights, device
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(options.seed)
        self.dtype = torch.bfloat16 if runs_bfloat16(device) else torch.float32
        self.generator, self.discriminator = Generator().to(device), Discriminator().to(device)
        self.generator.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.reader = frozen(reader, device, self.dtype)
        self.class_loss = make_loss(options, resolution_range, reader.config.points).to(device)
        self.average = MovingAverage(self.generator, options.ema)
        self.windows, self.seconds, self.restarts = 0, 0.0, 0
        if self.checkpoint_path.exists():
            self._resume()

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    @property
    def progress(self) -> float:
        """Part of the schedule that is done; 1 at its end."""
        return schedule_progress(self.windows, self.seconds, self.options)

    def averaged(self) -> Generator:
        """Return the generator with its averaged weights, in evaluation mode."""
        generator = Generator().to(self.device)
        generator.load_state_dict(self.average.state, strict=False)
        return generator.eval()

    def run(self) -> None:
        """Train until the schedule is at its end."""
        options = self.options
        forward = optimizers_of(self.generator, options.learning_rate, options.weight_decay, options.muon)
        against = optimizers_of(self.discriminator, options.learning_rate, options.weight_decay, muon=False)
        batches = self._batches()
        last_save = last_report = last_step = time.monotonic()
        sums, steps, done = torch.zeros(len(_COLUMNS), device=self.device), 0, 0
        while self.progress < 1:
            rate = options.learning_rate * learning_rate_factor(self.progress, done, options)
            for group in (g for optimizer in (*forward, *against) for g in optimizer.param_groups):
                group["lr"] = rate
            sums += self._step(next(batches), forward, against)
            steps, done, self.windows = steps + 1, done + 1, self.windows + options.batch
            self.average.update(self.generator)
            now = time.monotonic()
            self.seconds, last_step = self.seconds + now - last_step, now
            if now - last_report > _REPORT_SECONDS or self.progress >= 1:
                means = dict(zip(_COLUMNS, (sums / steps).tolist(), strict=True))
                append_row(self.folder / "log.csv", {"windows": self.windows, **means, "learning_rate": rate})
                print(f"generator: {self.windows} windows, loss {means['loss']:.3f}", flush=True)
                sums.zero_()
                steps, last_report = 0, now
            if now - last_save > options.checkpoint_seconds:
                self._save()
                last_save = now
        self._save()

    def _step(
        self,
        batch: dict[str, Tensor],
        forward: list[torch.optim.Optimizer],
        against: list[torch.optim.Optimizer],
    ) -> Tensor:
        """Take one step of the generator and one of the discriminator; returns the values of `_COLUMNS`."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is torch.bfloat16):
            generated = self.generator(batch["density"]).float()
        l1, similarity = F.l1_loss(generated, batch["fine"]), structural_similarity(generated, batch["fine"])
        adversarial = (self.discriminator(generated) - 1).square().mean()
        task = self._task(generated, batch)
        weights = self.weights
        total = l1 + 1 - similarity + weights.adversarial * adversarial + weights.downstream * task
        descend(self.generator, forward, total)
        scores = [self.discriminator(x) for x in (batch["fine"], generated.detach())]
        judged = (scores[0] - 1).square().mean() + scores[1].square().mean()
        descend(self.discriminator, against, judged)
        return torch.stack([total, l1, similarity, adversarial, task, judged]).detach()

    def _task(self, generated: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the class loss of the reader in some windows of the batch."""
        if not self.weights.downstream:
            return generated.new_zeros(())
        scores, offsets = self.reader(generated[:_READ].to(self.dtype))
        read = {key: value[:_READ] for key, value in batch.items()}
        return self.class_loss(scores, offsets, read).terms["class_loss"]

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        stream = PairStream(self.data, self.range, (self.options.seed, self.restarts))
        loader = DataLoader(
            stream,
            batch_size=self.options.batch,
            num_workers=self.options.workers,
            prefetch_factor=4 if self.options.workers else None,
        )
        for batch in loader:
            yield {key: value.to(self.device) for key, value in batch.items()}

    def _save(self) -> None:
        values = {
            "losses": asdict(self.weights),
            "discriminator": self.discriminator.state_dict(),
            "windows": self.windows,
            "seconds": self.seconds,
            "restarts": self.restarts,
        }
        save_checkpoint(self.checkpoint_path, self.generator, self.average, values)

    def _resume(self) -> None:
        saved = load_checkpoint(self.checkpoint_path)
        if saved["losses"] != asdict(self.weights):
            raise TrainingDataError(f"{self.checkpoint_path} is of a run with other losses; choose another folder.")
        restore(saved, self.generator, self.average)
        self.discriminator.load_state_dict(saved["discriminator"])
        self.windows, self.seconds, self.restarts = saved["windows"], saved["seconds"], saved["restarts"] + 1
