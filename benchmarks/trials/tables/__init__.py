"""Tables of codes and factors that somebody else wrote."""
