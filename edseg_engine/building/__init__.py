"""From residues with voted backbone atoms to a sequenced, refined all-atom model."""
