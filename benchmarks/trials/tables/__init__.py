"""Tables of codes and factors from other programs."""
