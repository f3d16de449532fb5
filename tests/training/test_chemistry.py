"""The geometry of voted backbones in the loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
import torch
from torch import Tensor

from edseg_engine.cli import main
from edseg_engine.errors import OptionError, TrainingDataError
from edseg_engine.labels import ATOMS, N_POINTS, POINTS
from edseg_engine.networks.network import OFFSET_SCALE
from edseg_engine.networks.weights import load_weights
from edseg_engine.residues.known import known_residues
from edseg_engine.training.chemistry import chiral_volume, distance, strain
from edseg_engine.training.cross_entropy import CrossEntropyLoss
from places import MODEL
from tiny_training import TINY, arguments, training_folder

_N, _CA, _C, _O, _CB, _NEXT = (ATOMS.index(name) for name in ("N", "CA", "C", "O", "CB", "next CA"))
#: All atoms that a residue may have.
_ALL = torch.ones(1, len(ATOMS), dtype=torch.bool)


def ideal_residue() -> Tensor:
    """Return an L-amino acid (1, 7, 3) with the bonds and angles of Engh & Huber, CA at the origin, in double."""
    cos, sin = (lambda degrees: np.cos(np.radians(degrees))), (lambda degrees: np.sin(np.radians(degrees)))
    to_n, to_c = np.array([1.0, 0.0, 0.0]), np.array([cos(111.0), sin(111.0), 0.0])
    # CB has its angles with both of them; H would be on the other side.
    x = cos(110.6)
    y = (cos(110.1) - x * to_c[0]) / to_c[1]
    to_cb = np.array([x, y, np.sqrt(1 - x * x - y * y)])
    atoms = np.zeros((1, len(ATOMS), 3))
    atoms[0, _N], atoms[0, _C], atoms[0, _CB] = 1.459 * to_n, 1.525 * to_c, 1.530 * to_cb
    # O and the next CA anywhere in a plane with CA and C.
    across = np.cross(to_c, [0.6, 0.0, 0.8])
    across /= np.linalg.norm(across)
    atoms[0, _O] = atoms[0, _C] + 1.229 * (-cos(120.1) * to_c + sin(120.1) * across)
    atoms[0, _NEXT] = atoms[0, _C] + 2.4 * (cos(35.0) * to_c - sin(35.0) * across)
    return torch.from_numpy(atoms)


def model_residues() -> Tensor:
    """Return the atoms (k, 7, 3) of the residues of 1AZ5, NaN where there is none."""
    return torch.from_numpy(known_residues(gemmi.read_structure(str(MODEL))[0]).points[:, 1:])


def test_an_ideal_residue_has_no_strain_wherever_it_is() -> None:
    torch.manual_seed(0)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double))
    rotation *= torch.linalg.det(rotation)
    for residue in (ideal_residue(), ideal_residue() @ rotation.T + 7):
        assert strain(residue, _ALL).item() == pytest.approx(0, abs=1e-6)


def test_a_mirrored_residue_has_strain_and_only_its_handedness_does_it() -> None:
    residue = ideal_residue()
    mirrored = residue * torch.tensor([1.0, 1.0, -1.0])
    assert chiral_volume(mirrored).item() == pytest.approx(-chiral_volume(residue).item())
    # CB is as far below the plane of N, CA and C as it should be above: 1.2 Å.
    assert strain(mirrored, _ALL).item() == pytest.approx((2 * 1.2) ** 2 / 10, rel=0.05)
    without_cb = _ALL.clone()
    without_cb[:, _CB] = False
    assert strain(mirrored, without_cb).item() == pytest.approx(0, abs=1e-6)


def test_refined_residues_have_next_to_no_strain_and_unknown_atoms_none() -> None:
    atoms = model_residues()
    known = torch.isfinite(atoms).all(2)
    assert not known.all(), "the last residue of the chain has no next one"
    own = strain(atoms, known)
    assert own.mean() < 0.003
    assert strain(-atoms, known).min() > 0.3
    assert (strain(atoms, torch.zeros_like(known)) == 0).all()


def test_the_gradient_is_that_of_the_value() -> None:
    torch.manual_seed(0)
    atoms = (ideal_residue() + 0.2 * torch.randn(3, len(ATOMS), 3, dtype=torch.double)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: strain(x, _ALL.expand(3, -1)), atoms)


def test_a_vote_between_two_ways_is_moved_to_the_length_of_the_bond() -> None:
    atoms = ideal_residue()
    atoms[0, _O] = 0.5 * atoms[0, _O] + 0.5 * atoms[0, _C]
    atoms.requires_grad_()
    optimizer = torch.optim.Adam([atoms], lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(strain(atoms, _ALL).sum())
        optimizer.step()
    assert distance(atoms, "C", "O").item() == pytest.approx(1.229, abs=0.02)


def test_the_loss_adds_the_strain_of_the_votes() -> None:
    """Voxels that vote for the residues of a model, and for their mirror images."""
    points = torch.full((1, 1, N_POINTS, 3), 4.0)
    points[0, 0, 1:] = ideal_residue()[0].float() + 4
    voxels = torch.stack(torch.meshgrid(*[torch.arange(8.0)] * 3, indexing="ij"), -1)
    batch = {"density": torch.ones(1, 1, 8, 8, 8), "points": points}
    batch |= {name: torch.zeros(1, 8, 8, 8, dtype=torch.int16) for name in ("classes", "residues")}
    scores = torch.zeros(1, 18, 8, 8, 8)
    weights = torch.ones(8, 8, 8)
    plain, chemical = (CrossEntropyLoss(weights, 1000, chemistry_weight=w) for w in (0.0, 10.0))
    assert "chemistry_loss" not in plain.terms
    mirror = torch.tensor([1.0, 1.0, -1.0])
    for votes, expected in ((points, 0.0), ((points - 4) * mirror + 4, 0.57)):
        offsets = (votes[0, 0] - voxels[..., None, :]).flatten(3).permute(3, 0, 1, 2)[None] / OFFSET_SCALE
        with_term, without = chemical(scores, offsets, batch), plain(scores, offsets, batch)
        assert tuple(with_term.terms) == chemical.terms
        assert with_term.terms["chemistry_loss"].item() == pytest.approx(expected, abs=0.03)
        added = 10 * with_term.terms["chemistry_loss"]
        assert with_term.total.item() == pytest.approx((without.total + added).item(), rel=1e-4)


def test_the_command_trains_with_it_and_refuses_networks_without_such_votes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = training_folder(tmp_path / "data")
    option = ["--chemistry-weight", "5", "--workers", "0"]
    assert main([*arguments(folder, tmp_path / "run", 2), *option]) == 0
    assert load_weights(tmp_path / "run" / "low.safetensors").card.training["options"]["chemistry_weight"] == 5
    again = arguments(folder, tmp_path / "run", 4)
    assert main(again) == TrainingDataError.exit_code
    assert "another loss" in " ".join(capsys.readouterr().err.split())
    fewer = replace(TINY, points=POINTS.index("N"))
    assert main([*arguments(folder, tmp_path / "other", 2, fewer), *option]) == OptionError.exit_code
    assert "needs votes for atoms: --votes backbone" in " ".join(capsys.readouterr().err.split())
