"""Which columns of a reflection file make a map, and which hold what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edseg_engine.errors import OptionError, PhaseError

#: Usual labels of map coefficients (amplitude, phase), the likeliest first. Density-modified ones come before those
#: of the phasing program, which stay in the file.
MAP_COEFFICIENTS: tuple[tuple[str, str], ...] = (
    ("parrot.F_phi.F", "parrot.F_phi.phi"),
    ("pirate.F_phi.F", "pirate.F_phi.phi"),
    ("FDM", "PHIDM"),  # DM, SOLOMON
    ("FWT", "PHWT"),  # REFMAC, Servalcat, Phaser, RESOLVE
    ("2FOFCWT", "PH2FOFCWT"),  # Phenix, BUSTER
    ("FWT", "PHIFWT"),
    ("FWT", "PHFWT"),
    ("2FOFC", "PHI2FOFC"),
    ("2FOFC", "PH2FOFC"),
    ("F_phi.F", "F_phi.phi"),
    ("pdbx_FWT", "pdbx_PHWT"),  # mmCIF
)
#: Measured amplitudes and intensities, the likeliest first; others are known by their standard uncertainties.
_AMPLITUDES = ("FP", "F", "F-obs-filtered", "F-obs", "FOBS", "Fobs", "FO", "F_meas_au", "F_meas")
_INTENSITIES = ("IMEAN", "I", "I-obs", "IOBS", "Iobs", "intensity_meas")
#: Phases with their figures of merit, where a map has to be made of amplitudes.
_PHASES = (
    ("PHIB", "FOM"),
    ("PHIM", "FOMM"),
    ("PHIM", "FOM"),
    ("PHIDM", "FOMDM"),
    ("PHI", "FOM"),
    ("phase_meas", "fom"),
)
#: Phases of a model, for want of others.
_MODEL_PHASES = (("PHIC_ALL", "FOM"), ("PHIC", "FOM"), ("phase_calc", "fom"))
_FREE_FLAGS = (
    "FREE",
    "FreeR_flag",
    "R-free-flags",
    "FREER",
    "FreeRflag",
    "RFREE",
    "TEST",
    "pdbx_r_free_flag",
    "status",
)
_CIF_SIGMAS = {"F_meas_au": "F_meas_sigma_au", "F_meas": "F_meas_sigma", "intensity_meas": "intensity_sigma"}


@dataclass(frozen=True)
class Columns:
    """Labels of the columns that make a map, with phases or their Hendrickson-Lattman coefficients (A, B, C, D)."""

    amplitude: str
    phase: str | None = None
    weight: str | None = None
    hl: tuple[str, ...] = ()
    unweighted: bool = False

    @property
    def labels(self) -> list[str]:
        return [label for label in (self.amplitude, self.phase, self.weight, *self.hl) if label]

    @property
    def is_measured(self) -> bool:
        """Whether phases make a map of measured amplitudes, in place of map coefficients."""
        return bool(self.weight or self.hl or self.unweighted)

    @property
    def made_of(self) -> str:
        """What the map is made of, for the report."""
        if self.hl:
            return f"m·Fo from {self.amplitude} with the centroid phases of {', '.join(self.hl)}"
        if self.weight:
            return f"m·Fo from {self.amplitude} with the phases {self.phase} and the figures of merit {self.weight}"
        if self.unweighted:
            return (
                f"Fo from {self.amplitude} with the phases {self.phase}, all of which count in full, for there are no "
                "figures of merit or Hendrickson-Lattman coefficients beside them"
            )
        return f"amplitudes {self.amplitude} with phases {self.phase}"


def find_columns(
    types: Mapping[str, str], name: str, f_label: str | None = None, phi_label: str | None = None
) -> Columns:
    """Find the columns to make a map of: those named, else map coefficients, else amplitudes with phases.

    Parameters
    ----------
    types
        MTZ column type of each label of the file, in its order.
    name
        Name of the file for messages.
    f_label, phi_label
        What the user named.

    Raises
    ------
    OptionError
        Only one of the two labels is given.
    PhaseError
        The labels do not exist, or there are no phases; the message lists the columns of the file.
    """
    present = "its columns are " + ", ".join(f"{label} ({kind})" for label, kind in types.items() if kind != "H")
    if f_label or phi_label:
        if not (f_label and phi_label):
            raise OptionError("Columns of map coefficients go in pairs: name the amplitude and the phase.")
        for label, kinds, meaning in ((f_label, "FGRE?", "amplitude"), (phi_label, "P?", "phase")):
            if types.get(label, " ") not in kinds:
                raise PhaseError(f"{name} has no {meaning} column {label}; {present}.")
        return Columns(f_label, phi_label)
    for amplitude, phase in (*MAP_COEFFICIENTS, *_variants(types)):
        if types.get(amplitude) == "F" and types.get(phase) == "P":
            return Columns(amplitude, phase)
    measured = find_measured(types, "F")
    if measured:
        pairs = [pair for pair in (*_PHASES, *_MODEL_PHASES) if types.get(pair[0]) == "P"]
        hl = find_hl(types)
        for phase, weight in pairs:
            if types.get(weight) == "W":
                return Columns(measured[0], phase, weight)
        if hl:
            return Columns(measured[0], hl=hl)
        if pairs:
            return Columns(measured[0], pairs[0][0], unweighted=True)
    there = set(types.values())
    if {"F", "P"} <= there:
        advice = "Name those of a map with --f and --phi"
    elif there & set("FJGK"):
        advice = "Amplitudes alone make no map: calculate phases first"
    else:
        advice = "Give a file that holds a map"
    raise PhaseError(
        f"{name} has neither map coefficients (such as FWT and PHWT) nor amplitudes with phases; {present}. {advice}."
    )


def _variants(types: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Give the pairs whose labels are usual ones with something added: 2FOFCWT_sharp, mine.F_phi.F."""
    for amplitude, phase in MAP_COEFFICIENTS:
        for label in types:
            if label.startswith(amplitude):
                yield label, phase + label[len(amplitude) :]
            elif label.endswith("." + amplitude):
                yield label, label[: -len(amplitude)] + phase


def find_measured(types: Mapping[str, str], kind: str) -> tuple[str, str | None] | None:
    """Return the labels of measured amplitudes (kind "F") or intensities ("J") and of their standard uncertainties."""
    usual = _AMPLITUDES if kind == "F" else _INTENSITIES
    for label in (*usual, *types):
        sigma = _CIF_SIGMAS.get(label, "SIG" + label)
        has_sigma = types.get(sigma) == "Q"
        if types.get(label) == kind and (has_sigma or label in usual):
            return label, sigma if has_sigma else None
    return None


def find_hl(types: Mapping[str, str]) -> tuple[str, ...]:
    """Return the labels of the first four Hendrickson-Lattman coefficients (A, B, C, D), or nothing."""
    labels = [label for label, kind in types.items() if kind == "A"]
    return tuple(labels[:4]) if len(labels) >= 4 else ()


def find_free(types: Mapping[str, str]) -> str | None:
    """Return the label of the flags that mark the test set (free set)."""
    return next((label for label in _FREE_FLAGS if types.get(label) == "I"), None)
