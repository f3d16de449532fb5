"""The 17 residue classes: their names, their chemistry, and colours that the colour-blind can distinguish.

A group of similar chemistry has one hue of the Okabe-Ito palette; its classes differ in lightness. With all forms of
colour-blindness the groups stay apart, and the labels distinguish the classes of a group.
"""

from __future__ import annotations

LABELS: tuple[str, ...] = (
    "ALA", "GLY", "ILE", "LEU", "PRO", "VAL/THR", "PHE", "TRP", "TYR",
    "ASP/ASN", "GLU/GLN", "ARG", "HIS", "LYS", "SER", "CYS", "MET",
)  # fmt: skip

#: Classes and hex colours of each group.
GROUPS: dict[str, dict[str, str]] = {
    "small": {"ALA": "#8C8C8C", "GLY": "#C8C8C8"},
    "aliphatic": {"ILE": "#00573F", "LEU": "#009E73", "VAL/THR": "#5CCBA8"},
    "proline": {"PRO": "#CC79A7"},
    "aromatic": {"PHE": "#E69F00", "TRP": "#A36F00", "TYR": "#FFC44D"},
    "acidic": {"ASP/ASN": "#F0824A", "GLU/GLN": "#C24E00"},
    "basic": {"ARG": "#004B78", "HIS": "#4A97CC", "LYS": "#0072B2"},
    "hydroxyl": {"SER": "#8FD3FA"},
    "sulphur": {"CYS": "#F0E442", "MET": "#C9BC1E"},
}
GROUP_OF: dict[str, str] = {label: group for group, classes in GROUPS.items() for label in classes}
COLORS: dict[str, str] = {label: GROUPS[GROUP_OF[label]][label] for label in LABELS}
GROUP_COLORS: dict[str, str] = {group: max(classes.values()) for group, classes in GROUPS.items()}
GROUP_COLORS |= {"aliphatic": "#009E73", "aromatic": "#E69F00", "acidic": "#D55E00", "basic": "#0072B2"}

#: Residue names of coordinate files for classes of two residues; there is none for VAL/THR.
_PDB_NAMES = {"VAL/THR": "VAL", "ASP/ASN": "ASX", "GLU/GLN": "GLX"}
#: The class of each residue name that a user can give.
_CLASS_OF = {name: label for label in LABELS for name in (label, *label.split("/"))}
_CLASS_OF |= {"ASX": "ASP/ASN", "GLX": "GLU/GLN"}
#: Residues by their one-letter names, as a user may type them.
_LETTERS = {
    "A": "ALA", "R": "ARG", "N": "ASN", "D": "ASP", "C": "CYS", "Q": "GLN", "E": "GLU", "G": "GLY", "H": "HIS",
    "I": "ILE", "L": "LEU", "K": "LYS", "M": "MET", "F": "PHE", "P": "PRO", "S": "SER", "T": "THR", "W": "TRP",
    "Y": "TYR", "V": "VAL",
}  # fmt: skip
#: All three-letter residue names that atoms of the plugin can have.
NAMES: tuple[str, ...] = tuple(name for name in _CLASS_OF if "/" not in name)


def pdb_name(identity: str) -> str:
    """Return the three-letter residue name of a class or residue."""
    return _PDB_NAMES.get(identity, identity)


def class_of(identity: str) -> str:
    """Return the class of a class or residue name such as ``"THR"``; raises KeyError."""
    return _CLASS_OF[identity]


def identity_of(text: str) -> str:
    """Return the class or residue that a user named, also by one letter; raises ValueError."""
    name = _LETTERS.get(text.strip().upper(), text.strip().upper())
    if not is_identity(name):
        raise ValueError(f"{text!r} is not a residue type: give an amino acid, or a class such as VAL/THR.")
    return name


def is_identity(text: str) -> bool:
    """Return whether `text` names a class or a residue."""
    return text in _CLASS_OF


def parse_classes(text: str) -> tuple[str, ...]:
    """Return the classes that a text such as ``"PHE+TYR"``, ``"aromatic"``, ``"all"`` or ``"none"`` names.

    Raises
    ------
    ValueError
        If it names something else.
    """
    chosen: set[str] = set()
    for word in text.replace(",", "+").replace(" ", "+").split("+"):
        if word.lower() == "all":
            chosen.update(LABELS)
        elif word.lower() in GROUPS:
            chosen.update(GROUPS[word.lower()])
        elif word.upper() in _CLASS_OF:
            chosen.add(_CLASS_OF[word.upper()])
        elif word and word.lower() != "none":
            raise ValueError(f"{word!r} is not a residue class; choose from {', '.join(LABELS)}, {', '.join(GROUPS)}.")
    return tuple(label for label in LABELS if label in chosen)


def rgb(color: str) -> tuple[float, float, float]:
    """Return red, green and blue (0 to 1) of ``"#RRGGBB"``."""
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def file_name(label: str) -> str:
    """Return a class's name as it can stand in an object name."""
    return label.replace("/", "_")
