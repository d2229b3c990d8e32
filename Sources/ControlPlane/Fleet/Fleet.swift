// Fleet: to come.
