"""The loss of the thesis: against values computed by hand and by definition, its gradients, and in a training run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from edseg_engine.cli import main
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.labels import BACKGROUND, N_CLASSES, N_POINTS
from edseg_engine.networks.network import OFFSET_SCALE
from edseg_engine.networks.weights import load_weights
from edseg_engine.resolution import RANGES
from edseg_engine.training.checkpoint import load_checkpoint
from edseg_engine.training.loss import frame_weights
from edseg_engine.training.losses import LOSSES, make_loss
from edseg_engine.training.options import TrainOptions
from edseg_engine.training.thesis_loss import FALL, MARGIN, ThesisLoss, lovasz_softmax, membership_dice, squared_error
from tiny_training import TINY, TINY_DENSE, arguments, training_folder


def jaccard_loss(wrong: Tensor, members: Tensor) -> float:
    """One minus the intersection over union of a class if the voxels `wrong` are mistaken (Berman et al., eq. 6)."""
    union = (wrong | members).sum().item()
    return (wrong.sum().item() / union) if union else 0.0


def lovasz_by_definition(errors: Tensor, members: Tensor) -> float:
    """The Lovász extension of `jaccard_loss`, voxel by voxel (Berman et al., definition 1)."""
    order = errors.argsort(descending=True)
    total, taken, before = 0.0, torch.zeros_like(members), 0.0
    for voxel in order:
        taken[voxel] = True
        now = jaccard_loss(taken, members)
        total += errors[voxel].item() * (now - before)
        before = now
    return total


def test_lovasz_softmax_by_hand() -> None:
    """Two voxels of class 0, one of class 1, none of class 2."""
    probabilities = torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.5, 0.1], [0.2, 0.7, 0.1]], dtype=torch.float64)
    # Class 0: errors of 0.6 (a member), 0.2 (another) and 0.1 (a member) leave an IoU of 1/2, 1/3 and 0.
    first = 0.6 * (1 - 1 / 2) + 0.2 * (1 / 2 - 1 / 3) + 0.1 * 1 / 3
    # Class 1: errors of 0.5 (another), 0.3 (the member) and 0.1 (another) leave 1/2, 0 and 0.
    second = 0.5 * (1 - 1 / 2) + 0.3 * 1 / 2
    loss = lovasz_softmax(probabilities, torch.tensor([0, 0, 1]), torch.ones(3, dtype=torch.float64))
    assert loss.item() == pytest.approx((first + second) / 2)


@pytest.mark.parametrize("seed", range(5))
def test_lovasz_softmax_by_definition(seed: int) -> None:
    torch.manual_seed(seed)
    probabilities, classes = torch.randn(40, 5, dtype=torch.float64).softmax(1), torch.randint(4, (40,))
    expected = [
        lovasz_by_definition((members.double() - probabilities[:, c]).abs(), members)
        for c, members in ((c, classes == c) for c in classes.unique())
    ]
    loss = lovasz_softmax(probabilities, classes, torch.ones(40, dtype=torch.float64))
    assert loss.item() == pytest.approx(sum(expected) / len(expected))


def test_lovasz_softmax_of_hard_answers_is_the_mean_of_one_minus_iou() -> None:
    classes, answers = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 0, 1, 1, 1, 1])
    hard = torch.nn.functional.one_hot(answers, 4).double()
    loss = lovasz_softmax(hard, classes, torch.ones(6, dtype=torch.float64))
    assert loss.item() == pytest.approx(1 - (2 / 3 + 2 / 4 + 0) / 3)


def test_a_voxel_counts_by_its_weight() -> None:
    """L(x) W(x): the order of the voxels is that of their errors, whatever their weights (thesis 5.2.2)."""
    torch.manual_seed(1)
    probabilities, classes = torch.randn(30, 4, dtype=torch.float64).softmax(1), torch.randint(4, (30,))
    weights = torch.rand(30, dtype=torch.float64)
    each = torch.eye(30, dtype=torch.float64)
    parts = torch.stack([lovasz_softmax(probabilities, classes, one) for one in each])
    torch.testing.assert_close(lovasz_softmax(probabilities, classes, weights), (parts * weights).sum())


def test_squared_error_by_hand() -> None:
    truth = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    offsets = truth + torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 4.0]])
    assert squared_error(offsets, truth, torch.tensor([1.0, 0.5])).item() == pytest.approx((9 + 8) / 2)


def test_dice_by_hand() -> None:
    """Two instances at 0 and 10 Å along x, δ = 1 Å: votes inside of δ, between, at the other instance, and nowhere."""
    centroids = torch.tensor([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    votes = torch.tensor([[0.5, 0.0, 0.0], [0.0, 1.5, 0.0], [10.0, 0.0, 0.9], [10.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    members = torch.tensor([0, 0, 0, 1, 1])
    half = 1 - torch.tanh(torch.tensor(0.5)).item()
    dice = membership_dice(votes, members, centroids, torch.tensor(1.0))
    first, second = 2 * (1 + half) / ((1 + half) + 3), 2 * 1 / (2 + 2)
    assert dice.tolist() == pytest.approx([first, second], abs=1e-4)


def dense_dice(votes: Tensor, members: Tensor, centroids: Tensor, delta: Tensor) -> Tensor:
    """The same with a mask for each instance, as the thesis writes it."""
    masks = 1 - torch.tanh(torch.relu(torch.cdist(votes, centroids) - delta))
    true = torch.nn.functional.one_hot(members, len(centroids))
    return 2 * (masks * true).sum(0) / (masks.sum(0) + true.sum(0))


@pytest.mark.parametrize("chunk", [7, 8192])
def test_dice_of_near_pairs_is_that_of_all(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edseg_engine.training.thesis_loss._CHUNK", chunk)
    torch.manual_seed(0)
    centroids, members = 40 * torch.rand(30, 3), torch.randint(30, (900,))
    votes = centroids[members] + 2 * torch.randn(900, 3)
    delta = torch.tensor(1.5)
    near, every = (f(votes, members, centroids, delta) for f in (membership_dice, dense_dice))
    torch.testing.assert_close(near, every, atol=2e-3, rtol=2e-3)


def test_gradients() -> None:
    torch.manual_seed(2)
    scores = torch.randn(12, 4, dtype=torch.float64, requires_grad=True)
    classes, weights = torch.randint(4, (12,)), torch.rand(12, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: lovasz_softmax(s.softmax(1), classes, weights), scores)
    centroids, members = 6 * torch.rand(3, 3, dtype=torch.float64), torch.randint(3, (12,))
    votes = (centroids[members] + torch.randn(12, 3, dtype=torch.float64)).requires_grad_()
    delta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, d: membership_dice(v, members, centroids, d), (votes, delta))
    truth = centroids[members]
    assert torch.autograd.gradcheck(lambda v: squared_error(v, truth, weights), votes)


def one_residue(n: int = 8) -> dict[str, Tensor]:
    """A window with one residue of class 3 in one half, background in the other."""
    classes = torch.full((1, n, n, n), BACKGROUND, dtype=torch.int8)
    classes[:, : n // 2] = 3
    points = torch.full((1, 2, N_POINTS, 3), 2.0)
    residues = torch.where(classes == 3, 0, -1).to(torch.int16)
    return {"density": torch.ones(1, 1, n, n, n), "classes": classes, "residues": residues, "points": points}


def places(n: int) -> Tensor:
    return torch.stack(torch.meshgrid(*[torch.arange(float(n))] * 3, indexing="ij"))[None]


def test_the_combined_loss_is_the_sum_of_its_terms() -> None:
    batch, loss = one_residue(), ThesisLoss(torch.full((8, 8, 8), 0.5))
    scores = 40.0 * torch.nn.functional.one_hot(batch["classes"].long(), N_CLASSES).movedim(-1, 1)
    right = (2.0 - places(8)) / OFFSET_SCALE
    perfect = loss(scores, right, batch)
    assert perfect.total.item() == pytest.approx(MARGIN, abs=1e-4)
    assert perfect.accuracy == pytest.approx(1.0)
    moved = loss(scores, right + torch.tensor([3.0, 0.0, 0.0]).view(1, 3, 1, 1, 1) / OFFSET_SCALE, batch)
    m = 1 - torch.tanh(torch.tensor(1.0)).item()
    expected = {"class_loss": 0.0, "offset_loss": 0.5 * 9, "dice_loss": 1 - 2 * m / (m + 1), "delta": MARGIN}
    assert {k: v.item() for k, v in moved.terms.items()} == pytest.approx(expected, abs=1e-4)
    assert moved.total.item() == pytest.approx(sum(expected.values()), abs=1e-4)
    wrong = loss(scores.roll(1, 1), right, batch)
    assert wrong.terms["class_loss"].item() == pytest.approx(0.5, abs=1e-4)
    moved.total.backward()
    assert loss.delta.grad is not None
    assert loss.delta.grad.item() == pytest.approx(1 - 2 * (1 - (1 - m) ** 2) / (m + 1) ** 2, abs=1e-3)


def test_windows_do_not_share_instances() -> None:
    one = one_residue()
    two = {k: torch.cat([v, v]) for k, v in one.items()}
    scores, offsets = torch.randn(1, N_CLASSES, 8, 8, 8), torch.randn(1, 3, 8, 8, 8)
    single, double = ThesisLoss(torch.ones(8, 8, 8)), ThesisLoss(torch.ones(8, 8, 8))
    a = single(scores, offsets, one)
    b = double(scores.repeat(2, 1, 1, 1, 1), offsets.repeat(2, 1, 1, 1, 1), two)
    assert b.terms["dice_loss"].item() == pytest.approx(a.terms["dice_loss"].item(), abs=1e-6)
    assert b.terms["offset_loss"].item() == pytest.approx(a.terms["offset_loss"].item(), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_network_without_offsets_is_trained_with_the_part_for_classes(name: str) -> None:
    loss = make_loss(TrainOptions(8, loss=name), replace(RANGES[1], window=8), 0)
    scores = torch.randn(1, N_CLASSES, 8, 8, 8, requires_grad=True)
    losses = loss(scores, torch.zeros(1, 0, 8, 8, 8), one_residue())
    assert losses.total == losses.terms["class_loss"] > 0
    losses.total.backward()
    assert scores.grad is not None
    assert not any(p.requires_grad for p in loss.parameters())


def test_weights_of_the_thesis() -> None:
    """F(x) = 1 - x / 8 at x voxels from the inner edge of the frame, which is 8, 6 or 4 voxels wide (thesis 6.3)."""
    for size, frame, border in ((48, 8.0, 0.0), (48, 6.0, 0.25), (36, 4.0, 0.5)):
        line = frame_weights(size, frame, FALL)[:, size // 2, size // 2]
        torch.testing.assert_close(line[: int(frame) + 1], border + torch.arange(frame + 1) / 8)
        assert line[int(frame) : size - int(frame)].eq(1).all()
        torch.testing.assert_close(line, line.flip(0))
    corner = frame_weights(36, 4.0, FALL)[1, 2, 18]
    assert corner.item() == pytest.approx(5 / 8 * 6 / 8)
    # With F(x) = 1 - x / l_frame (5.2.2) the border counts for nothing; in the product each voxel counts.
    assert frame_weights(48, 6.0, 6.0)[0, 24, 24] == 0
    assert frame_weights(48, 6.0)[0, 24, 24] == pytest.approx(1 / 7)


def test_the_margin_is_trained_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = training_folder(tmp_path / "data")
    command = [*arguments(data, tmp_path / "run", 2, replace(TINY, points=1)), "--workers", "0"]
    command += ["--poor-phases-share", "0", "--crystal-share", "0"]
    assert main([*command, "--loss", "thesis"]) == 0
    delta = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["loss_state"]["delta"].item()
    assert delta != MARGIN
    assert delta == pytest.approx(MARGIN, abs=0.1)
    assert load_weights(tmp_path / "run" / "low.safetensors").card.training["options"]["loss"] == "thesis"
    command[command.index("--windows") + 1] = "4"
    assert main([*command, "--loss", "thesis"]) == 0
    again = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert again["restarts"] == 1
    assert 0 < abs(again["loss_state"]["delta"].item() - delta) < 0.1
    assert main(command) == TrainingDataError.exit_code
    assert "another loss" in capsys.readouterr().err


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["train", "network", "low", "--structures", str(tmp_path), "--out", str(tmp_path / "run")]
    for options, sentence in (
        (["--loss", "thesis"], "add --votes centroid"),
        (["--loss", "hinge"], "no loss 'hinge'; choose one of cross-entropy, thesis"),
        (["--network", "vgg"], "no network 'vgg'; choose one of stacknet, "),
        (["--network", "fc-densenet57", "--votes", "centroid"], "do not vote"),
        (["--warmup", "-1"], "a number of steps, not -1"),
    ):
        assert main([*run, *options]) == OptionError.exit_code
        assert sentence in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "run").exists()


def test_fc_densenet_is_trained_by_the_same_command(tmp_path: Path) -> None:
    data = training_folder(tmp_path / "data")
    out = tmp_path / "run"
    assert main([*arguments(data, out, 2, TINY_DENSE), "--workers", "0", "--loss", "thesis"]) == 0
    assert load_weights(out / "low.safetensors").net.config == TINY_DENSE
