"""Options of a training run and the schedule of its learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edseg_engine.training.cross_entropy import ATOM_WEIGHT


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training run; those from `workers` on do not shape the result.

    Attributes
    ----------
    windows
        Training windows in all: the length of the cosine schedule.
    minutes
        Time after which the schedule is at its end even with fewer windows; 0: no limit.
    batch
        Windows per step and process.
    learning_rate
        Of Muon and AdamW, at its peak.
    warmup
        Steps over which the learning rate rises, at the start and after each restart.
    ema
        Decay per step of the moving average of the weights; that average is what is shipped.
    loss
        Name of the loss, see `edseg_engine.training.losses`.
    samples
        Voxels per window that the loss ``cross-entropy`` looks at.
    replay
        Times that a window is used, each time turned another way (`edseg_engine.training.replay`).
    workers
        Processes that make windows, for each process that trains.
    compiled
        Compile the network (`torch.compile`).
    frozen_statistics
        Normalise by the statistics of the weights that training started from, not by those of each batch: for batches
        of one or two windows.
    muon
        Train the kernels between hidden channels by Muon. Its steps are equally long in all directions, which small
        batches, where most directions are noise, cannot afford.
    atom_weight
        Weight of the votes for atoms in the loss ``cross-entropy``; high while they are learnt.
    chemistry_weight
        Weight of the geometry of the voted backbone in the loss ``cross-entropy``, see
        `edseg_engine.training.chemistry`.
    patience
        Validations in a row without a better score after which training stops (early stopping; thesis 6.4.3). The
        weights are then those of the best validation. 0: never, and the weights are the last.
    """

    windows: int
    minutes: float = 0.0
    batch: int = 4
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 50
    ema: float = 0.9968
    loss: str = "cross-entropy"
    samples: int = 8000
    replay: int = 1
    seed: int = 1
    workers: int = 1
    checkpoint_seconds: float = 90.0
    validate_every: int = 2000
    compiled: bool = False
    frozen_statistics: bool = False
    muon: bool = True
    atom_weight: float = ATOM_WEIGHT
    chemistry_weight: float = 0.0
    patience: int = 0


def schedule_progress(windows: int, seconds: float, options: TrainOptions) -> float:
    """Return the part of the schedule that is done after so many windows and seconds; 1 at its end."""
    in_time = seconds / (60 * options.minutes) if options.minutes else 0.0
    return max(windows / options.windows, in_time)


def learning_rate_factor(progress: float, steps: int, options: TrainOptions) -> float:
    """Cosine to one hundredth of the peak, after a linear warm-up at the start and after each restart.

    Parameters
    ----------
    progress
        Part of the schedule that is done, 0 to 1.
    steps
        Steps since the start or the last restart.
    """
    warm = min(1.0, (steps + 1) / (options.warmup + 1))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))
