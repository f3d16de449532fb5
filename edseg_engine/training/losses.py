"""The losses that a training run can ask for, by name."""

from __future__ import annotations

from edseg_engine.errors import OptionError
from edseg_engine.labels import N_POINTS
from edseg_engine.options import check_choice
from edseg_engine.resolution import ResolutionRange
from edseg_engine.training.cross_entropy import CrossEntropyLoss
from edseg_engine.training.loss import Loss, frame_weights
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.thesis_loss import FALL, ThesisLoss

LOSSES: tuple[str, ...] = ("cross-entropy", "thesis")


def make_loss(options: TrainOptions, resolution_range: ResolutionRange, points: int) -> Loss:
    """Return the loss that `options` name, for the windows of a range and a network that votes for so many `points`.

    Raises
    ------
    OptionError
        If there is none of this name, or it does not fit the network.
    """
    check_choice("loss", options.loss, LOSSES)
    if options.chemistry_weight and (options.loss == "thesis" or points < N_POINTS):
        raise OptionError("--chemistry-weight needs votes for atoms: --votes backbone and --loss cross-entropy.")
    size, frame = resolution_range.window, resolution_range.frame / resolution_range.spacing
    if options.loss == "thesis":
        if points > 1:
            raise OptionError("The loss of the thesis knows no votes for atoms; add --votes centroid.")
        return ThesisLoss(frame_weights(size, frame, FALL), resolution_range.spacing, points > 0)
    samples = options.samples * options.batch
    weights = frame_weights(size, frame)
    return CrossEntropyLoss(weights, samples, resolution_range.spacing, options.atom_weight, options.chemistry_weight)
