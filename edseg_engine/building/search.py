"""Profiles of traced fragments against a database of sequences, by HMMER."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edseg_engine.building.peptide import turned
from edseg_engine.building.records import FloatArray, Fragment, Trace
from edseg_engine.errors import BuildError, ModelFormatError
from edseg_engine.extras import missing_extra
from edseg_engine.io.names import shown
from edseg_engine.io.sequence import is_nucleotide, read_database
from edseg_engine.labels import LABELS, label_of_letter
from edseg_engine.progress import Progress, ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from pyhmmer.easel import Alphabet
    from pyhmmer.plan7 import HMM

#: Shorter fragments (residues) say too little to be searched with.
SHORTEST = 15
#: How often the probabilities of a residue are wrong without saying so.
_SURPRISE = 0.05
#: Sequences that stand for the probabilities of a fragment in the alignment that its profile is built from.
_SAMPLE = 100
#: Hits by chance, per sequence of the database, below which a hit of a fragment is kept.
_LARGEST_P = 1e-3
#: Residues by which the hits of two fragments may overlap.
_OVERLAP = 3
#: Sequences that are searched at a time, and the longest that HMMER takes.
_BLOCK, _LONGEST = 5_000, 100_000
#: So many candidates are kept.
_MOST = 20
_LETTERS = "ACDEFGHIKLMNPQRSTVWY"


@dataclass(frozen=True)
class FragmentHit:
    """Where a fragment fits in a sequence.

    Attributes
    ----------
    fragment
        Index of the fragment among those searched with.
    first, last
        Residues of the sequence, from 1.
    score
        In bits.
    p_value
        Probability that a random sequence fits this fragment as well.
    """

    fragment: int
    first: int
    last: int
    score: float
    p_value: float


@dataclass(frozen=True)
class Candidate:
    """A sequence of the database.

    Attributes
    ----------
    name, description
        From its title.
    sequence
        In one-letter code.
    hits
        Of different fragments, without overlaps, the best first.
    e_value
        Of the best hit: how many such hits a database of this size has by chance.
    """

    name: str
    description: str
    sequence: str = field(repr=False)
    hits: tuple[FragmentHit, ...]
    e_value: float

    @property
    def score(self) -> float:
        """Sum of the hits' scores in bits."""
        return sum(hit.score for hit in self.hits)

    @property
    def covered(self) -> int:
        """Number of its residues in hits."""
        return len({i for hit in self.hits for i in range(hit.first, hit.last + 1)})


@dataclass(frozen=True)
class Search:
    """What a search in a database found.

    Attributes
    ----------
    candidates
        The best first.
    fragments
        Lengths of the fragments searched with.
    n_sequences
        Size of the database.
    """

    candidates: tuple[Candidate, ...]
    fragments: tuple[int, ...]
    n_sequences: int


def amino_acid_profile(probabilities: FloatArray, background: FloatArray) -> FloatArray:
    """Return probabilities (n, 20) of amino acids, in the order of the letters ACDEFGHIKLMNPQRSTVWY.

    Parameters
    ----------
    probabilities
        shape (n, 17): of the classes; those of two amino acids are divided as the background has them.
    background
        shape (20,): frequencies of the amino acids.
    """
    of_letter = np.array([label_of_letter(letter) for letter in _LETTERS])
    of_class = np.bincount(of_letter, background, minlength=len(LABELS))
    profile = probabilities[:, of_letter] * background / of_class[of_letter]
    return np.asarray((1 - _SURPRISE) * profile / profile.sum(1, keepdims=True) + _SURPRISE * background)


def search(trace: Trace, database: Path, progress: ProgressCallback = ignore_progress) -> Search:
    """Return the sequences of a database that the traced fragments fit best.

    Parameters
    ----------
    database
        FASTA file, also compressed with gzip.

    Raises
    ------
    DependencyError
        If pyhmmer is not installed.
    BuildError
        If no fragment is long enough.
    ModelFormatError
        If the database cannot be read.
    """
    _require_pyhmmer()
    from pyhmmer.easel import Alphabet, DigitalSequenceBlock
    from pyhmmer.plan7 import Pipeline

    long = [fragment for fragment in trace.fragments if len(fragment) >= SHORTEST]
    if not long:
        longest = max(map(len, trace.fragments), default=0)
        raise BuildError(
            f"The longest stretch of chain that could be traced has {longest} residues; at least {SHORTEST} are needed "
            "to search with."
        )
    alphabet = Alphabet.amino()
    # The direction of a chain is not always certain.
    profiles = [(i, _profile(way, alphabet)) for i, fragment in enumerate(long) for way in (fragment, turned(fragment))]
    pipeline = Pipeline(
        alphabet, bias_filter=False, F1=0.1, F2=0.05, F3=0.01, Z=1, domZ=1, E=_LARGEST_P, domE=_LARGEST_P
    )
    hits: dict[int, list[FragmentHit]] = defaultdict(list)
    entries: dict[int, tuple[str, str]] = {}
    n_sequences = 0
    for block, done in read_database(database, _BLOCK):
        progress(Progress("search", done, f"{n_sequences} sequences"))
        sequences = DigitalSequenceBlock(
            alphabet, [_digital(alphabet, str(i), letters) for i, (_, letters) in enumerate(block, n_sequences)]
        )
        for fragment, profile in profiles:
            for hit in pipeline.search_hmm(profile, sequences):
                number = int(hit.name)
                entries[number] = block[number - n_sequences]
                hits[number] += [
                    FragmentHit(fragment, domain.env_from, domain.env_to, domain.score, domain.pvalue)
                    for domain in hit.domains
                    if domain.pvalue <= _LARGEST_P
                ]
        n_sequences += len(block)
    candidates = [_candidate(*entries[number], hits[number], n_sequences) for number in hits if hits[number]]
    candidates.sort(key=lambda candidate: -candidate.score)
    return Search(tuple(candidates[:_MOST]), tuple(map(len, long)), n_sequences)


def check_database(path: Path) -> None:
    """Make sure that a search can begin, before the time is spent to prepare it.

    Raises
    ------
    DependencyError
        If pyhmmer is not installed.
    ModelFormatError
        If the database cannot be read, or begins with what is no protein sequence.
    """
    _require_pyhmmer()
    block, _ = next(read_database(path, _BLOCK), ([], 0.0))
    if not block:
        raise ModelFormatError(f"{shown(path)} holds no sequence.")
    if all(is_nucleotide(letters) for _, letters in block):
        raise ModelFormatError(f"{shown(path)} holds nucleotide sequences; a database of proteins is needed.")


def _require_pyhmmer() -> None:
    if importlib.util.find_spec("pyhmmer") is None:
        raise missing_extra("pyhmmer", "build")


def _profile(fragment: Fragment, alphabet: Alphabet) -> HMM[Any]:
    """Return the profile of an alignment in whose columns amino acids are as frequent as probable in the fragment."""
    from pyhmmer.easel import TextMSA, TextSequence
    from pyhmmer.plan7 import Background, Builder

    background = Background(alphabet)
    frequencies = np.array(background.residue_frequencies, float)[: len(_LETTERS)]
    cumulative = np.cumsum(amino_acid_profile(fragment.probabilities, frequencies), axis=1)
    quantiles = (np.arange(_SAMPLE) + 0.5) / _SAMPLE
    columns = [np.minimum(np.searchsorted(column, quantiles), len(_LETTERS) - 1) for column in cumulative]
    rows = ["".join(_LETTERS[i] for i in row) for row in np.array(columns).T]
    alignment = TextMSA(
        name="fragment", sequences=[TextSequence(name=f"s{i}", sequence=row) for i, row in enumerate(rows)]
    )
    builder = Builder(alphabet, weighting="none", effective_number="none", seed=1)
    return builder.build_msa(alignment.digitize(alphabet), background)[0]


def _digital(alphabet: Alphabet, name: str, letters: str) -> Any:
    from pyhmmer.easel import TextSequence

    return TextSequence(name=name, sequence=letters[:_LONGEST]).digitize(alphabet)


def _candidate(title: str, sequence: str, hits: Iterable[FragmentHit], n_sequences: int) -> Candidate:
    """Return a sequence with the hits that are possible together, chosen greedily by their scores."""
    chosen: list[FragmentHit] = []
    for hit in sorted(hits, key=lambda hit: -hit.score):
        if all(
            hit.fragment != other.fragment and min(hit.last, other.last) - max(hit.first, other.first) < _OVERLAP
            for other in chosen
        ):
            chosen.append(hit)
    name, _, description = title.partition(" ")
    return Candidate(name, description.strip(), sequence, tuple(chosen), chosen[0].p_value * n_sequences)
