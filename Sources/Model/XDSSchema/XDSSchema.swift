// XDSSchema: to come.
