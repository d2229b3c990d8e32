// TLSEngine: to come.
